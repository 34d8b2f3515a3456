from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganserve.training.augmentation import augment
from ganserve.training.config import AugmentationName
from ganserve.training.draws import Draws

EVERYTHING: tuple[AugmentationName, ...] = ("color", "translation", "cutout")
SIZES = [(8, 8), (28, 28), (30, 17)]
every_part = pytest.mark.parametrize("name", EVERYTHING)
every_size = pytest.mark.parametrize(("height", "width"), SIZES)
both_kinds = pytest.mark.parametrize("channels", [1, 3])
BLACK = -1.0


def draws(seed: int = 0) -> Draws:
    return Draws(torch.device("cpu"), seed)


def noise(num_images: int, channels: int, height: int, width: int) -> Tensor:
    """Different pixels everywhere, none of them black."""
    rng = torch.Generator().manual_seed(1)
    return torch.rand((num_images, channels, height, width), generator=rng) * 1.8 - 0.8


def shifted(image: Tensor, down: int, right: int) -> Tensor:
    """Images (..., H, W), moved as a whole over black."""
    height, width = image.shape[-2:]
    room = max(abs(down), abs(right))
    on_black = F.pad(image, (room, room, room, room), value=BLACK)
    return on_black[..., room - down : room - down + height, room - right : room - right + width]


def test_an_empty_policy_changes_nothing_and_draws_nothing() -> None:
    images, source = noise(3, 1, 8, 8), draws()
    before = source.get_state()
    assert torch.equal(augment(images, (), source), images)
    assert torch.equal(source.get_state(), before)


@every_part
@both_kinds
@every_size
def test_each_part_keeps_shape_and_kind_and_changes_the_images(
    name: AugmentationName, channels: int, height: int, width: int
) -> None:
    images = noise(16, channels, height, width)
    kept = images.clone()
    changed = augment(images, (name,), draws())
    assert changed.shape == images.shape
    assert changed.dtype == images.dtype
    assert not torch.equal(changed, images)
    assert torch.equal(images, kept)


@every_part
def test_half_precision_stays_half_precision(name: AugmentationName) -> None:
    assert augment(noise(4, 3, 8, 8).bfloat16(), (name,), draws()).dtype == torch.bfloat16


def test_the_same_seed_gives_the_same_images_and_another_seed_others() -> None:
    images = noise(8, 3, 16, 16)
    first, again, other = (augment(images, EVERYTHING, draws(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@every_part
def test_each_image_is_changed_in_its_own_way(name: AugmentationName) -> None:
    images = noise(1, 3, 28, 28).expand(32, -1, -1, -1)
    assert len({tuple(image.flatten().tolist()) for image in augment(images, (name,), draws())}) > 16


@every_part
def test_images_are_changed_apart_from_each_other(name: AugmentationName) -> None:
    images = noise(6, 3, 16, 16)
    others = images.clone()
    others[1:] = 0.3
    assert torch.equal(augment(images, (name,), draws())[0], augment(others, (name,), draws())[0])


@pytest.mark.parametrize("policy", [(name,) for name in EVERYTHING] + [EVERYTHING])
def test_two_processes_change_their_halves_as_one_changes_the_whole(policy: tuple[AugmentationName, ...]) -> None:
    images = noise(6, 3, 16, 16)
    halves = [
        augment(half, policy, Draws(torch.device("cpu"), 0, rank=rank, num_ranks=2))
        for rank, half in enumerate(images.chunk(2))
    ]
    torch.testing.assert_close(torch.cat(halves), augment(images, policy, draws()))


@every_part
@both_kinds
def test_the_gradient_is_the_one_that_differences_give(name: AugmentationName, channels: int) -> None:
    images = noise(2, channels, 9, 8).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda pixels: augment(pixels, (name,), draws()), (images,))


@both_kinds
@every_size
def test_a_translated_image_is_the_image_shifted(channels: int, height: int, width: int) -> None:
    images = noise(12, channels, height, width)
    for image, moved in zip(images, augment(images, ("translation",), draws()), strict=True):
        shifts = [
            (down, right)
            for down in range(-(height // 8), height // 8 + 1)
            for right in range(-(width // 8), width // 8 + 1)
            if torch.equal(moved, shifted(image, down, right))
        ]
        assert len(shifts) == 1


@every_size
def test_every_shift_up_to_an_eighth_of_a_side_is_equally_likely(height: int, width: int) -> None:
    num_images = 4000
    images = torch.full((num_images, 1, height, width), BLACK)
    images[:, 0, height // 2, width // 2] = 1
    moved = augment(images, ("translation",), draws())
    _, _, rows, columns = moved.eq(1).nonzero(as_tuple=True)
    for places, size in ((rows, height), (columns, width)):
        largest = size // 8
        counts = (places - size // 2 + largest).bincount()
        assert len(counts) == 2 * largest + 1
        expected = num_images / (2 * largest + 1)
        assert bool(((counts - expected).abs() < 5 * expected**0.5).all())


def test_a_digit_with_room_around_it_keeps_its_strokes_and_its_hand() -> None:
    seven = torch.full((1, 1, 16, 16), BLACK)
    seven[0, 0, 4, 5:11] = 1
    for step in range(8):
        seven[0, 0, 4 + step, 10 - step // 2] = 1
    mirrored = seven.flip(3)
    moved = augment(seven.expand(64, -1, -1, -1), ("translation",), draws())
    shifts = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
    as_shifted = {tuple(shifted(seven[0], *shift).flatten().tolist()) for shift in shifts}
    as_mirrored = {tuple(shifted(mirrored[0], *shift).flatten().tolist()) for shift in shifts}
    found = {tuple(image.flatten().tolist()) for image in moved}
    assert found <= as_shifted
    assert not found & as_mirrored


def test_an_image_of_few_pixels_is_not_translated() -> None:
    images = noise(4, 1, 7, 7)
    assert torch.equal(augment(images, ("translation",), draws()), images)


@both_kinds
@every_size
def test_cutout_covers_one_rectangle_of_half_a_side_and_nothing_else(channels: int, height: int, width: int) -> None:
    images = noise(64, channels, height, width)
    cut = augment(images, ("cutout",), draws())
    covered = cut.ne(images).any(dim=1)
    assert torch.equal(torch.where(covered[:, None], BLACK, images), cut)
    for mask in covered:
        rows, columns = mask.any(dim=1).nonzero()[:, 0], mask.any(dim=0).nonzero()[:, 0]
        box_height, box_width = (int(places.max() - places.min()) + 1 for places in (rows, columns))
        assert int(mask.sum()) == box_height * box_width
        # Less than half a side only where the rectangle reaches over an edge, and never less than about half of that.
        for length, size, places in ((box_height, height, rows), (box_width, width, columns)):
            at_an_edge = int(places.min()) == 0 or int(places.max()) == size - 1
            assert size // 4 <= length <= size // 2 if at_an_edge else length == size // 2


def test_cutout_reaches_every_pixel() -> None:
    images = noise(1, 1, 9, 8).expand(1000, -1, -1, -1)
    assert bool(augment(images, ("cutout",), draws()).eq(BLACK).any(dim=0).all())


def test_color_of_one_channel_is_a_scale_and_an_offset() -> None:
    image = noise(1, 1, 8, 8)
    changed = augment(image, ("color",), draws())
    numbers = draws().uniform(1, 3)[0].tolist()
    brightness, contrast = numbers[0] - 0.5, numbers[2] + 0.5
    torch.testing.assert_close(changed, image.mean() + brightness + contrast * (image - image.mean()))


def test_color_of_three_channels_by_hand() -> None:
    image = noise(1, 3, 5, 4)
    brightness, saturation, contrast = draws().uniform(1, 3)[0].tolist()
    expected = image.clone()
    expected += brightness - 0.5
    for row in range(5):
        for column in range(4):
            pixel = expected[0, :, row, column]
            expected[0, :, row, column] = pixel.mean() + 2 * saturation * (pixel - pixel.mean())
    expected = expected.mean() + (contrast + 0.5) * (expected - expected.mean())
    torch.testing.assert_close(augment(image, ("color",), draws()), expected)


def test_grey_stays_grey_whatever_its_saturation() -> None:
    grey = noise(8, 1, 6, 6).expand(-1, 3, -1, -1)
    changed = augment(grey, ("color",), draws())
    torch.testing.assert_close(changed, changed.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1))


@pytest.mark.parametrize(("channels", "bound"), [(1, 2.5), (3, 4.5)])
@every_size
def test_color_stays_in_its_bounds_and_the_others_in_those_of_images(
    channels: int, bound: float, height: int, width: int
) -> None:
    # Mostly black with one pure red pixel: the farthest from the means over channels and over the image.
    images = torch.full((2000, channels, height, width), BLACK)
    images[:, 0, 0, 0] = 1
    assert augment(images, ("color",), draws()).abs().max().item() < bound
    assert augment(-images, ("color",), draws()).abs().max().item() < bound
    for name in ("translation", "cutout"):
        assert augment(images, (name,), draws()).aminmax() == images.aminmax()
