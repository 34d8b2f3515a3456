"""Layers in the form that ONNX Runtime computes fastest on a CPU: the same maps, rounded in another order."""

from __future__ import annotations

from typing import Final

from onnxscript import ir
from onnxscript.rewriter import rewrite

from . import doubling_convolution, narrow_convolution, upsampled_convolution

_RULES: Final = (upsampled_convolution.rule, doubling_convolution.rule, narrow_convolution.rule)
"""In this order: an upsampled convolution becomes one that doubles the size."""


def rewrite_for_cpu(model: ir.Model) -> None:
    """Rewrites the layers of a model for a CPU, in place. Those of unknown shape or weights stay as they are.

    docs/exporting.md has what each form brings, and what others were tried.
    """
    for rule in _RULES:
        rewrite(model, [rule])
