"""Resizing to a size that is known, with the factor or the size as a constant.

PyTorch's exporter computes the shape of the result at every run, from that of the batch. With a constant no operator is
needed for that, none of them has to run on the CPU beside a GPU, and ONNX Runtime's CPU provider has faster code for
whole factors: generators of the family `r3gan` are 1.06 to 1.16 times as fast.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from onnxscript import ir
from onnxscript.rewriter import RewriteRule

from .convolution import image_size


def _pattern(op: Any, x: Any, shape: Any) -> Any:
    return op.Resize(x, None, None, shape, _allow_other_attributes=True, _outputs=["y"])


def _rewrite(op: Any, x: ir.Value, shape: ir.Value, y: ir.Value) -> Any:
    """Whole factors as factors, since others would be rounded; else the size of the image."""
    before, after, resize = image_size(x), image_size(y), y.producer()
    if before is None or after is None or resize is None or shape.const_value is not None:
        return None
    attributes = dict(resize.attributes)
    if any(new % old for new, old in zip(after, before, strict=True)):
        size = op.initializer(ir.tensor(np.array(after, np.int64)), f"{y.name}.size")
        return op.Resize(x, None, None, size, **attributes | {"axes": [2, 3]})
    factors = np.array([1, 1, *(new // old for new, old in zip(after, before, strict=True))], np.float32)
    return op.Resize(x, None, op.initializer(ir.tensor(factors), f"{y.name}.scales"), **attributes)


rule: Final = RewriteRule(_pattern, _rewrite)
