"""A convolution to few channels, such as the last one of a generator, as a transposed one with stride one.

ONNX Runtime's CPU provider computes convolutions in blocks of 8 or 16 output channels, so that one with 1 or 3 of them
wastes most of its work: at 28×28 it took a fifth of the time for 2 % of the operations. A transposed convolution with
the kernel turned by 180 degrees is the same map, and is computed as a matrix product without blocks.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from onnxscript import ir
from onnxscript.rewriter import RewriteRule

from .convolution import Convolution

_FEW_CHANNELS: Final = 4


def _pattern(op: Any) -> Any:
    return op.Conv(_allow_other_inputs=True, _allow_other_attributes=True, _outputs=["y"])


def _rewrite(op: Any, y: ir.Value) -> Any:
    """What the transposed one cuts off, and the padding, make together the kernel less one.

    Only where both sides are padded alike: CUDA's provider knows no other transposed convolutions.
    """
    convolution = Convolution.of(y, stride=1)
    if convolution is None or len(convolution.kernel) > _FEW_CHANNELS:
        return None
    (top, bottom), (left, right) = convolution.padding
    height, width = convolution.kernel.shape[2:]
    pads = [height - 1 - top, width - 1 - left, height - 1 - bottom, width - 1 - right]
    if min(pads) < 0 or top != bottom or left != right:
        return None
    kernel = op.initializer(ir.tensor(np.ascontiguousarray(convolution.turned)), f"{convolution.name}.kernel")
    return op.ConvTranspose(convolution.x, kernel, *convolution.bias, pads=pads)


rule: Final = RewriteRule(_pattern, _rewrite)
