"""DiffAugment: the same kinds of random change for the discriminator's real and generated images, with gradients
through them.

Zhao et al. 2020, section 3. The discriminator then cannot learn a small data set by heart, and since real images are
changed in the same way as generated ones, what the generator makes need not look changed. Nothing here mirrors, turns
or scales, so a digit or a letter keeps its meaning.

What moves in from outside and what covers is black. The paper has middle grey, the 0 of [-1, 1]; black leaves a digit
or a letter on its dark ground a plausible image, with no edge that the discriminator would have to learn to look past.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .config import AugmentationName
from .draws import Draws

_BLACK = -1.0


def augment(images: Tensor, policy: Sequence[AugmentationName], draws: Draws) -> Tensor:
    """Changes each image in its own way, by the parts of `policy` in their order; none leaves the images as they are.

    images: float (N, C, H, W) in [-1, 1] -> the same shape and dtype. `translation` and `cutout` stay in [-1, 1];
    `color` does not clip, as that would stop gradients, and may reach 4.5 in magnitude (2.5 with one channel).
    All random numbers come from `draws`, a fixed count for a policy and batch size.
    """
    for name in policy:
        images = _CHANGES[name](images, draws)
    return images


def _change_color(images: Tensor, draws: Draws) -> Tensor:
    """Brightness plus -0.5 to 0.5, saturation times 0 to 2, contrast times 0.5 to 1.5.

    Saturation scales the distance from the mean over channels, so with one channel it changes nothing; contrast scales
    the distance from the mean over the image.
    """
    numbers = draws.uniform(len(images), 3, 1, 1, 1).to(images.dtype)
    brightness, saturation, contrast = numbers.unbind(dim=1)  # (N, 1, 1, 1) each
    images = images + (brightness - 0.5)
    images = _stretch(images, 2 * saturation, dim=(1,))
    return _stretch(images, contrast + 0.5, dim=(1, 2, 3))


def _stretch(images: Tensor, factors: Tensor, *, dim: tuple[int, ...]) -> Tensor:
    """Multiplies the distance from the mean over `dim` with `factors`."""
    mean = images.mean(dim, keepdim=True)
    return mean + factors * (images - mean)


def _translate(images: Tensor, draws: Draws) -> Tensor:
    """Moves each image by whole pixels, up to an eighth of a side in each direction."""
    num_images, channels, height, width = images.shape
    numbers = draws.uniform(num_images, 2)
    # A border of one pixel stands for everything outside. sources: (N, H * W), positions in the bordered image.
    bordered = F.pad(images, (1, 1, 1, 1), value=_BLACK)
    rows = _shifted_positions(height, numbers[:, 0])
    columns = _shifted_positions(width, numbers[:, 1])
    sources = (rows[:, :, None] * (width + 2) + columns[:, None, :]).flatten(1)
    pixels = bordered.flatten(2).gather(2, sources[:, None].expand(-1, channels, -1))
    return pixels.view(num_images, channels, height, width)


def _shifted_positions(size: int, numbers: Tensor) -> Tensor:
    """Where along a bordered side each pixel comes from: int64 (N, size) in [0, size + 1], for `numbers` in [0, 1)."""
    largest = size // 8
    shifts = (numbers * (2 * largest + 1)).long() - largest
    positions = torch.arange(1, size + 1, device=numbers.device)
    return (positions - shifts[:, None]).clamp(0, size + 1)


def _cut_out(images: Tensor, draws: Draws) -> Tensor:
    """Covers a rectangle of half of each side, whose centre lies anywhere in the image.

    Not for digits or letters: on their ground it is not seen as a cover, but as missing strokes.
    """
    num_images, _, height, width = images.shape
    numbers = draws.uniform(num_images, 2)
    rows = _covered_positions(height, numbers[:, 0])
    columns = _covered_positions(width, numbers[:, 1])
    return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], _BLACK)


def _covered_positions(size: int, numbers: Tensor) -> Tensor:
    """Which positions along a side are covered: bool (N, size), for `numbers` in [0, 1)."""
    length = size // 2
    num_places = size + 1 - length % 2
    first = (numbers * num_places).long()[:, None] - length // 2
    positions = torch.arange(size, device=numbers.device)
    return (positions >= first) & (positions < first + length)


_CHANGES: dict[AugmentationName, Callable[[Tensor, Draws], Tensor]] = {
    "color": _change_color,
    "translation": _translate,
    "cutout": _cut_out,
}
