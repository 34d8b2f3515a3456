"""The same latents drawn again and again as training goes on, so that a person sees it learn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ganserve.contract.card import image_shape
from ganserve.contract.files import new_file
from ganserve.contract.images import make_contact_sheet, to_pil
from ganserve.v1.model_pb2 import ModelCard

from .batches import Batches
from .draws import seed_for
from .memory import images_per_batch
from .pixels import to_levels

_NUM_ROWS = 8
_NUM_COLUMNS = 8
_MAX_CLASS_COLUMNS = 16
_MAX_SHEET_PIXELS = 2**24
_NUM_CALIBRATION_IMAGES = 1_024
_MAX_CALIBRATION_BATCH_SIZE = 128


@dataclass(frozen=True)
class Preview:
    """A grid of latents: one class a column where there are classes, the latents of a row equal in all columns."""

    z: Tensor
    labels: Tensor | None
    num_columns: int
    batch_size: int
    """Images drawn at once."""

    @classmethod
    def of(cls, card: ModelCard, *, seed: int, device: torch.device) -> Preview:
        """The grid of that seed: eight rows, fewer of large images; past sixteen classes, the first sixteen."""
        rng = torch.Generator().manual_seed(seed_for("preview", seed))
        height, width, _ = image_shape(card)
        num_classes = len(card.class_names)
        num_columns = min(num_classes, _MAX_CLASS_COLUMNS) or _NUM_COLUMNS
        num_rows = min(_NUM_ROWS, max(1, _MAX_SHEET_PIXELS // (num_columns * height * width)))
        batch_size = images_per_batch(height, width)
        if num_classes == 0:
            z = torch.randn((num_rows * num_columns, card.latent_dim), generator=rng)
            return cls(z.to(device), None, num_columns, batch_size)
        z = torch.randn((num_rows, card.latent_dim), generator=rng).repeat_interleave(num_columns, dim=0)
        labels = torch.arange(num_columns).repeat(num_rows)
        return cls(z.to(device), labels.to(device), num_columns, batch_size)

    @torch.no_grad()
    def draw(self, generator: nn.Module) -> npt.NDArray[np.uint8]:
        """The grid as pixels, uint8 (H, W, C), small images enlarged without smoothing."""
        images = []
        for first in range(0, len(self.z), self.batch_size):
            rows = slice(first, first + self.batch_size)
            labels = None if self.labels is None else self.labels[rows]
            images.append(to_levels(generator(self.z[rows], labels)).cpu())
        return make_contact_sheet(torch.cat(images).numpy(), self.num_columns)


def write_png(path: Path, picture: npt.NDArray[np.uint8]) -> None:
    """Writes a picture, uint8 (H, W, C)."""
    with new_file(path) as partial:
        to_pil(picture).save(partial, format="png")


def calibration_batches(
    batches: Batches, latent_dim: int, *, batch_size: int, seed: int
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Seeded latents (N, latent_dim) with labels as frequent as they are shown, to estimate batch norm on.

    They are 1,024 at any image size: 128 at once, but of large images no more than fit in a step of training, which
    takes `batch_size`, or than `images_per_batch` says.
    """
    rng = torch.Generator().manual_seed(seed_for("calibration", seed))
    height, width = batches.images.shape[1:3]
    batch_size = min(_MAX_CALIBRATION_BATCH_SIZE, max(batch_size, images_per_batch(height, width)))
    for _ in range(math.ceil(_NUM_CALIBRATION_IMAGES / batch_size)):
        z = torch.randn((batch_size, latent_dim), generator=rng)
        yield z.to(batches.device), batches.draw_labels(batch_size, rng)
