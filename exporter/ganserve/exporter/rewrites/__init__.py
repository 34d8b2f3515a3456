"""Layers in the form that ONNX Runtime computes fastest: the same maps, rounded in another order."""

from __future__ import annotations

from typing import Final

from onnxscript import ir
from onnxscript.rewriter import rewrite

from ganserve.runtime.device import Device

from . import doubling_convolution, fixed_resizing, narrow_convolution, upsampled_convolution

_FOR_ALL: Final = (fixed_resizing.rule,)
_FOR_CPU: Final = (upsampled_convolution.rule, doubling_convolution.rule, narrow_convolution.rule)
"""In this order: an upsampled convolution becomes one that doubles the size."""


def rewrite_layers(model: ir.Model, device: Device) -> None:
    """Rewrites the layers of a model for a device, in place. Those of unknown shape or weights stay as they are.

    docs/exporting.md has what each form brings, and what others were tried.
    """
    for rule in (*_FOR_ALL, *(_FOR_CPU if device == "cpu" else ())):
        rewrite(model, [rule])
