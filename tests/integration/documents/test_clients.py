"""Everything that docs/clients.md prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest


@pytest.mark.usefixtures("reader")
def test_every_snippet_runs(run_document: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    names = run_document("clients.md")
    np.testing.assert_array_equal(names["here"].numpy(), names["there"].numpy())
    np.testing.assert_array_equal(names["cats"].indices, names["like_these"].indices)
    assert len(names["large"]) == 5_000
    assert names["failures"] == []
    assert "<64 samples of pets:1@" in capsys.readouterr().out
