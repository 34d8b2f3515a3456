"""PyTorch's table of ONNX operators, which every export builds anew, which takes a third of its time."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
from torch.onnx._internal.exporter._registration import ONNXRegistry


@contextmanager
def table_kept() -> Iterator[None]:
    """Has the exports of this process build the table once; each gets a copy of its own."""
    build = cache(ONNXRegistry.from_torchlib)

    def copy_of_table(*arguments: Any, **options: Any) -> ONNXRegistry:
        own: ONNXRegistry = copy.copy(build(*arguments, **options))
        own.functions = {target: list(found) for target, found in own.functions.items()}
        return own

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(copy_of_table))
        yield
