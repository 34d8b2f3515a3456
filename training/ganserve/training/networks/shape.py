"""Image sizes, and how strided layers walk between them."""

from __future__ import annotations

from typing import NamedTuple

_MAX_INNER_SIDE = 7
_MAX_WIDENING = 8


class ImageShape(NamedTuple):
    """Shape of one image."""

    height: int
    width: int
    channels: int


class Size(NamedTuple):
    """Height and width of a feature map."""

    height: int
    width: int

    @property
    def num_pixels(self) -> int:
        """Positions of the map."""
        return self.height * self.width


def halvings(shape: ImageShape) -> list[Size]:
    """The sizes from the image inwards, each half of the one before, rounded up, until no side is above 7.

    28×28 gives 28×28, 14×14, 7×7; 30×17 gives 30×17, 15×9, 8×5, 4×3. The last is at most 7 a side and, for images of
    4 a side or more, at least 1.
    """
    sizes = [Size(shape.height, shape.width)]
    while max(sizes[-1]) > _MAX_INNER_SIDE:
        sizes.append(Size((sizes[-1].height + 1) // 2, (sizes[-1].width + 1) // 2))
    return sizes


def level_widths(base_width: int, num_levels: int) -> list[int]:
    """Channels at each size from the image inwards: `base_width`, doubled at each halving, 8 times it at most."""
    return [base_width * min(2**level, _MAX_WIDENING) for level in range(num_levels)]


def stride_two_kernel(outer: Size) -> tuple[int, int]:
    """Kernel with which a convolution of stride 2 and padding 1 takes `outer` to its half, rounded up.

    4 for an even side and 3 for an odd one; a transposed convolution with it takes the half back to `outer` exactly.
    """
    return 4 - outer.height % 2, 4 - outer.width % 2
