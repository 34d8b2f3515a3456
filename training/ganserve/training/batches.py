"""The order in which real images are shown: a number says where in it one is."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from .datasets import ImageDataset
from .pixels import from_levels


@dataclass
class Batches:
    """Endless batches of a dataset, reached by position.

    Position p is image `p % N` of the seeded permutation of epoch `p // N`, so resuming needs no more than p.
    """

    images: Tensor
    """uint8 (N, H, W, C), on the device."""

    labels: Tensor | None
    """int64 (N,), on the device; None for unconditional training."""

    seed: int
    _epoch: int = field(default=-1, init=False)
    _order: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64), init=False)

    @classmethod
    def of(cls, dataset: ImageDataset, *, conditional: bool, seed: int, device: torch.device) -> Batches:
        """Puts the images of `dataset` on `device`, and its labels if training is conditional."""
        labels = torch.from_numpy(dataset.labels).to(device) if conditional and dataset.labels is not None else None
        return cls(torch.from_numpy(dataset.images).to(device), labels, seed)

    def at(self, position: int, num_images: int) -> tuple[Tensor, Tensor | None]:
        """Images float32 (num_images, C, H, W) in [-1, 1] and labels int64 (num_images,), from `position` on."""
        rows = self._rows(position, num_images)
        return from_levels(self.images[rows]), None if self.labels is None else self.labels[rows]

    def _rows(self, position: int, num_images: int) -> Tensor:
        pieces: list[Tensor] = []
        while num_images > 0:
            epoch, offset = divmod(position, len(self.images))
            piece = self._order_of(epoch)[offset : offset + num_images]
            pieces.append(piece)
            position += len(piece)
            num_images -= len(piece)
        return torch.cat(pieces)

    def _order_of(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            order = np.random.default_rng((self.seed, epoch)).permutation(len(self.images))
            self._epoch, self._order = epoch, torch.from_numpy(order).to(self.images.device)
        return self._order
