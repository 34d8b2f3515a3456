"""Samples as they are judged: at addresses of their own, and as pixels, as a server would deliver them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ganserve.contract.latents import sample_latents
from ganserve.training.pixels import to_levels


def draw_samples(
    generator: nn.Module,
    num_images: int,
    *,
    labels: npt.NDArray[np.int64] | None,
    latent_dim: int,
    seed: int,
    batch_size: int,
    device: torch.device,
) -> Iterator[Tensor]:
    """Batches of samples, uint8 (N, H, W, C) on `device`, of the latents at index 0, 1, … of `seed`.

    `labels`, int64 (num_images,), are what a conditional generator is asked for, and `batch_size` should be what
    `images_per_batch` says. The generator is on `device` and in eval mode. No random number of PyTorch's is used.
    """
    for first in range(0, num_images, batch_size):
        last = min(first + batch_size, num_images)
        z = torch.from_numpy(sample_latents(seed, first, last - first, latent_dim)).to(device)
        asked = None if labels is None else torch.from_numpy(labels[first:last]).to(device)
        with torch.no_grad():
            images = generator(z, asked)
        yield to_levels(images.float())


def labels_like(labels: npt.NDArray[np.int64], num_images: int, *, seed: int) -> npt.NDArray[np.int64]:
    """int64 (num_images,): every class as often as in `labels`, to within one image, in a seeded order."""
    places = (2 * np.arange(num_images) + 1) * len(labels) // (2 * num_images)
    spread: npt.NDArray[np.int64] = np.random.default_rng(seed).permutation(np.sort(labels)[places])
    return spread


def weights_of(labels: npt.NDArray[np.int64]) -> Tensor:
    """float64 (num_images,): weights with which every class that occurs counts alike, whatever number it has."""
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return torch.from_numpy(1.0 / counts[classes])
