"""Classic augmentation: each image is changed at random each time it is shown."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from ganserve.training.augmentation import augment
from ganserve.training.draws import Draws

_LEAST_SKILL: Final = 0.8


def change(images: Tensor, draws: Draws, *, mirror: bool) -> Tensor:
    """Shifts, in colour changes colours, and with `mirror` mirrors half of the images.

    The changes are DiffAugment's (see `ganserve.training.augmentation`): moved by whole pixels up to an eighth of a
    side, with black moving in; brightness by up to a quarter of the range, saturation by a factor of 0 to 2, contrast
    of 0.5 to 1.5. images: float32 (N, C, H, W) in [-1, 1] -> the same.
    """
    if images.shape[1] > 1:
        images = augment(images, ("color",), draws).clamp(-1, 1)
    images = augment(images, ("translation",), draws)
    if mirror:
        is_mirrored = draws.uniform(len(images), 1, 1, 1) < 0.5
        images = torch.where(is_mirrored, images.flip(3), images)
    return images


def keeps_class_mirrored(accuracy: float, mirrored_accuracy: float, num_classes: int) -> bool:
    """Whether mirroring leaves an image in its class, told by classifiers that have never seen a mirrored one.

    It does where these have at least four fifths of their skill left, which is what they get right beyond chance, when
    the validation images are mirrored. Digits lose most of it, and photographs of things hardly any.
    """
    chance = 1 / num_classes
    return mirrored_accuracy - chance >= _LEAST_SKILL * (accuracy - chance)


def describe(channels: int, *, mirror: bool) -> str:
    """What is done, for people."""
    parts = ["shifts by up to an eighth of a side", *(["colours"] if channels > 1 else []), *(["mirrors"] * mirror)]
    return ", ".join(parts)
