"""The order in which real images are shown: a number says where in it one is."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .datasets import ImageDataset
from .orders import ClassesAlike, Order, Shuffled, rows_by_class
from .pixels import from_levels

_MOST_OF_FREE_MEMORY = 0.5


@dataclass
class Batches:
    """Endless batches of a dataset, reached by position.

    Position p is image `p % N` of the order of epoch `p // N`, so resuming needs no more than p. An epoch shows every
    image once or, with `balance_classes`, every class equally often. With `mirror` each image counts as two, one as it
    is and one mirrored.
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
    balanced_labels: npt.NDArray[np.int64] | None = None
    """int64 (num_images,): the classes to show equally often, which even unconditional training may; None for none."""
    _epoch: int = field(default=-1, init=False)
    _epoch_rows: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64), init=False)

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
        balance_classes: bool = False,
    ) -> Batches:
        """Puts the images of `dataset` on `device` where they fit, and its labels if training is conditional."""
        images = torch.from_numpy(np.asarray(dataset.images))
        labels = torch.from_numpy(dataset.labels) if conditional and dataset.labels is not None else None
        if _fits(images.nbytes, device):
            images, labels = images.to(device), None if labels is None else labels.to(device)
        balanced_labels = dataset.labels if balance_classes else None
        return cls(images, labels, seed, device, mirror, rank, num_ranks, balanced_labels)

    def __post_init__(self) -> None:
        num_poses = 1 + self.mirror
        if self.balanced_labels is None:
            self._order: Order = Shuffled(len(self.images) * num_poses, self.seed)
        else:
            self._order = ClassesAlike(rows_by_class(self.balanced_labels, num_poses), self.seed)

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

    def draw_labels(self, num_images: int, rng: torch.Generator) -> Tensor | None:
        """Labels int64 (num_images,) as frequent as they are shown; None where training is unconditional."""
        if self.labels is None:
            return None
        equally_often = (
            self.labels if self.balanced_labels is None else torch.from_numpy(np.unique(self.balanced_labels))
        )
        rows = torch.randint(len(equally_often), (num_images,), generator=rng)
        return equally_often[rows.to(equally_often.device)].to(self.device)

    def _rows(self, position: int, num_images: int) -> Tensor:
        pieces: list[Tensor] = []
        while num_images > 0:
            epoch, offset = divmod(position, self._order.length)
            piece = self._rows_of(epoch)[offset : offset + num_images]
            pieces.append(piece)
            position += len(piece)
            num_images -= len(piece)
        return torch.cat(pieces)

    def _rows_of(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            self._epoch, self._epoch_rows = epoch, torch.from_numpy(self._order.of_epoch(epoch)).to(self.images.device)
        return self._epoch_rows


def _fits(num_bytes: int, device: torch.device) -> bool:
    """Whether images leave a device enough of its free memory for the networks."""
    if device.type != "cuda":
        return True
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return num_bytes <= _MOST_OF_FREE_MEMORY * free_bytes
