"""Layers in the form that ONNX Runtime computes fastest on a CPU: the same maps, rounded in another order."""

from __future__ import annotations

from typing import Final

import onnx
from onnxscript.rewriter import rewrite

from . import doubling_convolution, narrow_convolution, upsampled_convolution

_RULES: Final = (upsampled_convolution.rule, doubling_convolution.rule, narrow_convolution.rule)


def for_cpu(model: onnx.ModelProto) -> onnx.ModelProto:
    """Rewrites the layers of a model for a CPU. Needs the shapes of its values, and weights that are initialisers.

    docs/exporting.md has what each form brings, and what others were tried.
    """
    for rule in _RULES:
        model = rewrite(model, [rule])
    return model
