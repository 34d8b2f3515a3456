"""What the rules need to know of a convolution, plain or transposed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from onnxscript import ir

Sides = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """A convolution over images with a kernel among the model's weights, no holes and no groups."""

    name: str
    """Of its result."""
    x: ir.Value
    """Images (N, C, H, W)."""
    kernel: NDArray[Any]
    """(out, in, height, width); of a transposed one (in, out, height, width)."""
    bias: Sequence[ir.Value]
    """One (out,), or none."""
    padding: tuple[Sides, Sides]
    """Added at top and bottom, and at left and right; by a transposed one cut off there."""
    output_padding: Sides
    """Added by a transposed one at the bottom and at the right."""

    @property
    def turned(self) -> NDArray[Any]:
        """(in, out, height, width): a plain one's kernel as a transposed one has it, turned by 180 degrees."""
        return self.kernel[:, :, ::-1, ::-1].swapaxes(0, 1)

    @classmethod
    def of(cls, y: ir.Value, *, stride: int) -> Convolution | None:
        """The one that makes `y` with steps of `stride` down and across; None where it is of another kind."""
        node = y.producer()
        if y.name is None or node is None or len(node.inputs) < 2:
            return None
        x, kernel, *bias = node.inputs
        if x is None or kernel is None or kernel.const_value is None or len(kernel.const_value.shape) != 4:
            return None
        attributes = node.attributes
        is_plain = (
            set(attributes.get_ints("strides", (1, 1))) == {stride}
            and set(attributes.get_ints("dilations", (1, 1))) == {1}
            and attributes.get_int("group", 1) == 1
            and attributes.get_string("auto_pad", "NOTSET") == "NOTSET"
            and "output_shape" not in attributes
        )
        if not is_plain:
            return None
        top, left, bottom, right = attributes.get_ints("pads", (0, 0, 0, 0))
        below, beside = attributes.get_ints("output_padding", (0, 0))
        return cls(
            name=y.name,
            x=x,
            kernel=kernel.const_value.numpy(),
            bias=[value for value in bias if value is not None],
            padding=((top, bottom), (left, right)),
            output_padding=(below, beside),
        )


def image_size(images: ir.Value) -> Sides | None:
    """Height and width of (N, C, H, W); None where they are not known."""
    match tuple(images.shape or ()):
        case (_, _, int(height), int(width)):
            return height, width
    return None
