"""The same latents drawn again and again as training goes on, so that a person sees it learn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ganserve.contract.files import new_file
from ganserve.contract.images import make_contact_sheet, to_pil

from .batches import Batches
from .draws import seed_for
from .pixels import to_levels

_NUM_ROWS = 8
_NUM_COLUMNS = 8
_MAX_CLASS_COLUMNS = 16
_NUM_CALIBRATION_BATCHES = 8
_CALIBRATION_BATCH_SIZE = 128


@dataclass(frozen=True)
class Preview:
    """A grid of latents: one class a column where there are classes, the latents of a row equal in all columns."""

    z: Tensor
    labels: Tensor | None
    num_columns: int

    @classmethod
    def of(cls, latent_dim: int, num_classes: int, *, seed: int, device: torch.device) -> Preview:
        """The grid of that seed; past sixteen classes, the first sixteen."""
        rng = torch.Generator().manual_seed(seed_for("preview", seed))
        if num_classes == 0:
            z = torch.randn((_NUM_ROWS * _NUM_COLUMNS, latent_dim), generator=rng)
            return cls(z.to(device), None, _NUM_COLUMNS)
        num_columns = min(num_classes, _MAX_CLASS_COLUMNS)
        z = torch.randn((_NUM_ROWS, latent_dim), generator=rng).repeat_interleave(num_columns, dim=0)
        labels = torch.arange(num_columns).repeat(_NUM_ROWS)
        return cls(z.to(device), labels.to(device), num_columns)

    @torch.no_grad()
    def draw(self, generator: nn.Module) -> npt.NDArray[np.uint8]:
        """The grid as pixels, uint8 (H, W, C), small images enlarged without smoothing."""
        return make_contact_sheet(to_levels(generator(self.z, self.labels)).cpu().numpy(), self.num_columns)


def write_png(path: Path, picture: npt.NDArray[np.uint8]) -> None:
    """Writes a picture, uint8 (H, W, C)."""
    with new_file(path) as partial:
        to_pil(picture).save(partial, format="png")


def calibration_batches(batches: Batches, latent_dim: int, *, seed: int) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Seeded latents (N, latent_dim) with labels as frequent as in the data, to estimate batch norm on."""
    device = batches.device
    rng = torch.Generator().manual_seed(seed_for("calibration", seed))
    for _ in range(_NUM_CALIBRATION_BATCHES):
        z = torch.randn((_CALIBRATION_BATCH_SIZE, latent_dim), generator=rng)
        rows = torch.randint(len(batches.images), (_CALIBRATION_BATCH_SIZE,), generator=rng)
        yield (
            z.to(device),
            None if batches.labels is None else batches.labels[rows.to(batches.labels.device)].to(device),
        )
