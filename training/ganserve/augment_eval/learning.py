"""What an arm learns from, and in which order its images are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ganserve.client.quotas import Quota
from ganserve.contract.images import Images

from .images import RealImages, Rows
from .samples import SamplePool


@dataclass(frozen=True)
class Cell:
    """The real or the synthetic images of one class."""

    rows: Rows
    """Which images of the learning set they are, int64."""

    quota: int
    """How many an epoch shows. Where it is more than there are, each is shown as often as the others, or once more."""


@dataclass(frozen=True, eq=False)
class LearningSet:
    """Images, uint8 (N, H, W, C), with their labels, int64 (N,), and how many of them an epoch shows."""

    images: Images
    labels: npt.NDArray[np.int64]
    is_synthetic: npt.NDArray[np.bool_]
    cells: tuple[Cell, ...]

    def shown(self, num_images: int, seed: int) -> Rows:
        """The rows of the first `num_images` images that are shown, int64 (num_images,).

        An epoch has exactly its quota of each cell, in a shuffled order. A cell goes through all of its images, in an
        order of its own, before it shows one again, and epochs do not interrupt that.
        """
        which = np.repeat(np.arange(len(self.cells)), [cell.quota for cell in self.cells])
        num_epochs = -(-num_images // len(which))
        order = np.concatenate([np.random.default_rng((seed, epoch)).permutation(which) for epoch in range(num_epochs)])
        order = order[:num_images]
        rows = np.empty(num_images, np.int64)
        for number, cell in enumerate(self.cells):
            places = np.flatnonzero(order == number)
            rng = np.random.default_rng((seed, number, 1))
            num_passes = -(-len(places) // max(1, len(cell.rows)))
            passes = [rng.permutation(cell.rows) for _ in range(num_passes)]
            rows[places] = np.concatenate([*passes, np.empty(0, np.int64)])[: len(places)]
        return rows


def learning_set(
    real: RealImages, rows: Rows, quotas: Sequence[Quota], pool: SamplePool, *, seed: int, most_samples: int
) -> LearningSet:
    """What a seed shows in an arm of these quotas, a quota a class, where `rows` are the real images to learn from.

    `most_samples` are about as many of a class as a training ever shows; a larger quota gets no more different ones.
    """
    pieces, labels, is_synthetic, cells = [], [], [], []
    first = 0
    for label, quota in enumerate(quotas):
        own = rows[real.labels[rows] == label]
        parts = [(real.training.images[own], quota.real, False)] if quota.real else []
        if quota.synthetic:
            count = min(quota.synthetic, most_samples)
            parts.append((pool.of_class(label, seed, count), quota.synthetic, True))
        for images, count, synthetic in parts:
            pieces.append(images)
            labels.append(np.full(len(images), label))
            is_synthetic.append(np.full(len(images), synthetic))
            cells.append(Cell(np.arange(first, first + len(images)), count))
            first += len(images)
    return LearningSet(np.concatenate(pieces), np.concatenate(labels), np.concatenate(is_synthetic), tuple(cells))
