"""The order in which real images are shown: a number says where in it one is."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from .datasets import ImageDataset
from .pixels import from_levels

_MOST_OF_FREE_MEMORY = 0.5


@dataclass
class Batches:
    """Endless batches of a dataset, reached by position.

    Position p is image `p % N` of the seeded permutation of epoch `p // N`, so resuming needs no more than p. With
    `mirror`, an epoch shows every image twice, once as it is and once mirrored, and N is twice their number.
    """

    images: Tensor
    """uint8 (num_images, H, W, C)."""

    labels: Tensor | None
    """int64 (num_images,); None for unconditional training."""

    seed: int
    device: torch.device
    """Where batches go. The images are there too if they fit."""
    mirror: bool = False
    rank: int = 0
    """Of several processes that train together, each takes its own part of a batch."""
    num_ranks: int = 1
    _epoch: int = field(default=-1, init=False)
    _order: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64), init=False)

    @classmethod
    def of(
        cls,
        dataset: ImageDataset,
        *,
        conditional: bool,
        seed: int,
        device: torch.device,
        mirror: bool = False,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> Batches:
        """Puts the images of `dataset` on `device` where they fit, and its labels if training is conditional."""
        images = torch.from_numpy(np.asarray(dataset.images))
        labels = torch.from_numpy(dataset.labels) if conditional and dataset.labels is not None else None
        if _fits(images.nbytes, device):
            images, labels = images.to(device), None if labels is None else labels.to(device)
        return cls(images, labels, seed, device, mirror, rank, num_ranks)

    def at(self, position: int, num_images: int) -> tuple[Tensor, Tensor | None]:
        """Images float32 (num_images, C, H, W) in [-1, 1] and labels int64 (num_images,).

        They are the batch from `position` on, or this process's part of it: `num_images` is the number of each process.
        """
        rows = self._rows(position + self.rank * num_images, num_images)
        sources = rows % len(self.images)
        images = from_levels(self.images[sources].to(self.device, non_blocking=True))
        if self.mirror:
            is_mirrored = (rows >= len(self.images)).to(self.device)[:, None, None, None]
            images = torch.where(is_mirrored, images.flip(3), images)
        return images, None if self.labels is None else self.labels[sources].to(self.device, non_blocking=True)

    def _rows(self, position: int, num_images: int) -> Tensor:
        pieces: list[Tensor] = []
        while num_images > 0:
            epoch, offset = divmod(position, len(self.images) * (1 + self.mirror))
            piece = self._order_of(epoch)[offset : offset + num_images]
            pieces.append(piece)
            position += len(piece)
            num_images -= len(piece)
        return torch.cat(pieces)

    def _order_of(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            order = np.random.default_rng((self.seed, epoch)).permutation(len(self.images) * (1 + self.mirror))
            self._epoch, self._order = epoch, torch.from_numpy(order).to(self.images.device)
        return self._order


def _fits(num_bytes: int, device: torch.device) -> bool:
    """Whether images leave a device enough of its free memory for the networks."""
    if device.type != "cuda":
        return True
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return num_bytes <= _MOST_OF_FREE_MEMORY * free_bytes
