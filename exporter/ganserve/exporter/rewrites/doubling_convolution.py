"""A transposed convolution that doubles the size, as four convolutions whose results are interleaved.

With stride two, a pixel of the result meets every second weight, down and across; which ones depends on whether its row
and its column are even or odd. So the pixels of each of these four kinds are a plain convolution of the small image,
with its share of the weights. ONNX Runtime's CPU provider is faster at those: it computes the transposed one as a
matrix product, and then adds up what overlaps, number by number.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from onnxscript import ir
from onnxscript.rewriter import RewriteRule

from .convolution import Convolution, Sides, image_size

_BLOCK: Final = 16
"""Channels that ONNX Runtime's fast convolutions take at a time, with AVX-512."""
_SMALLEST_KERNEL: Final = 4
"""Below, too little overlaps."""


class Taps(NamedTuple):
    """What every second pixel of a line meets."""

    parity: int
    """0 for even pixels, 1 for odd ones."""
    weights: list[int]
    """Their indices, in the order of the pixels that they meet."""
    padding: Sides
    """Pixels that are missing before and behind the small image."""


def _pattern(op: Any) -> Any:
    return op.ConvTranspose(_allow_other_inputs=True, _allow_other_attributes=True, _outputs=["y"])


def _rewrite(op: Any, y: ir.Value) -> Any:
    """Only with kernels of 4×4 or more, and all channels in whole blocks."""
    convolution = Convolution.of(y, stride=2)
    if convolution is None:
        return None
    size, channels, sides = image_size(convolution.x), convolution.kernel.shape[:2], convolution.kernel.shape[2:]
    if size is None or min(sides) < _SMALLEST_KERNEL or any(number % _BLOCK for number in channels):
        return None
    rows, columns = map(_taps, sides, convolution.padding, convolution.output_padding)
    if rows is None or columns is None:
        return None
    after_width = op.initializer(ir.tensor([4]), f"{y.name}.axis")
    pairs = []
    for row in rows:
        quarters = [op.Unsqueeze(_quarter(op, convolution, row, column), after_width) for column in columns]
        pairs.append(op.Concat(*quarters, axis=4))
    doubled = [0, channels[1], 2 * size[0], 2 * size[1]]
    return op.Reshape(op.Concat(*pairs, axis=3), op.initializer(ir.tensor(doubled), f"{y.name}.shape"))


def _quarter(op: Any, convolution: Convolution, row: Taps, column: Taps) -> Any:
    """The pixels of one kind, (N, C, H, W)."""
    kernel = convolution.kernel[:, :, row.weights][:, :, :, column.weights].swapaxes(0, 1)
    name = f"{convolution.name}.kernel_{row.parity}{column.parity}"
    return op.Conv(
        convolution.x,
        op.initializer(ir.tensor(np.ascontiguousarray(kernel)), name),
        *convolution.bias,
        pads=[row.padding[0], column.padding[0], row.padding[1], column.padding[1]],
    )


def _taps(num_weights: int, cut: Sides, added: int) -> tuple[Taps, Taps] | None:
    """Of even and of odd pixels; None where the transposed convolution does not double a line.

    Pixel 2 m + parity meets pixel m + offset of the small image with weight k where 2 offset = parity + cut before - k.
    """
    if num_weights - sum(cut) + added != 2:
        return None
    even, odd = (_taps_at(parity, num_weights, cut[0]) for parity in (0, 1))
    return None if even is None or odd is None else (even, odd)


def _taps_at(parity: int, num_weights: int, cut: int) -> Taps | None:
    weights = [k for k in reversed(range(num_weights)) if (parity + cut - k) % 2 == 0]
    if not weights:
        return None
    before, behind = (weights[0] - parity - cut) // 2, (parity + cut - weights[-1]) // 2
    return None if min(before, behind) < 0 else Taps(parity, weights, (before, behind))


rule: Final = RewriteRule(_pattern, _rewrite)
