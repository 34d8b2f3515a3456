"""How much every training of a study shows, for each number of real images per class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from .arms import without_choices
from .images import RealImages
from .settings import Settings

_MORE_THAN_SHOWN: Final = 1.1


@dataclass(frozen=True)
class Size:
    """One number of real images per class."""

    per_class: int | None
    real_counts: tuple[int, ...]
    """Of each class, to learn from."""

    num_steps: int

    most_samples: int
    """About as many of a class as a training shows, and a tenth more."""


def sizes_of(real: RealImages, settings: Settings, *, num_known: int) -> tuple[Size, ...]:
    """What each size shows; `num_known` are the classes that the generator knows.

    Raises ConfigError and DatasetError where a class has too few images.
    """
    sizes = []
    for per_class in settings.sizes:
        learning = real.parts(per_class, 0, settings.validation).learning
        counts = np.bincount(real.labels[learning], minlength=real.training.num_classes).tolist()
        num_steps = settings.steps_for(len(counts) * max(counts))
        most_samples = math.ceil(_MORE_THAN_SHOWN * num_steps * settings.batch_size / num_known)
        sizes.append(Size(per_class, tuple(counts), num_steps, most_samples))
    return tuple(sizes)


def num_samples_of_class(sizes: Sequence[Size], ratios: Sequence[float], has_samples: Sequence[bool]) -> int:
    """How many samples of each class and seed the largest arm of any size shows."""
    return max(
        min(quota.synthetic, size.most_samples)
        for size in sizes
        for arm in without_choices(size.real_counts, ratios)
        for quota in arm.quotas(size.real_counts, has_samples)
    )
