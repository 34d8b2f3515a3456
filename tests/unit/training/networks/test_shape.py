from __future__ import annotations

import pytest

from ganserve.training.networks.shape import ImageShape, Size, halvings, level_widths, stride_two_kernel


def test_sizes_are_halved_and_rounded_up() -> None:
    assert halvings(ImageShape(28, 28, 1)) == [Size(28, 28), Size(14, 14), Size(7, 7)]
    assert halvings(ImageShape(30, 17, 1)) == [Size(30, 17), Size(15, 9), Size(8, 5), Size(4, 3)]
    assert halvings(ImageShape(8, 8, 1)) == [Size(8, 8), Size(4, 4)]
    assert halvings(ImageShape(5, 7, 1)) == [Size(5, 7)]


def test_widths_double_inwards_up_to_eight_times_the_first() -> None:
    assert level_widths(3, 6) == [3, 6, 12, 24, 24, 24]


@pytest.mark.parametrize("outer", [Size(8, 8), Size(15, 9), Size(7, 12)])
def test_a_stride_two_kernel_halves_its_size_rounded_up(outer: Size) -> None:
    halved = [(side + 2 - kernel) // 2 + 1 for side, kernel in zip(outer, stride_two_kernel(outer), strict=True)]
    assert halved == [(side + 1) // 2 for side in outer]
