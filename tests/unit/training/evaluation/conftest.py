"""A cache of its own for each test, and pictures that a small classifier tells apart in a few steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from ganserve.training.datasets import ImageDataset
from ganserve.training.evaluation.classifier_training import ClassifierSettings

NUM_CLASSES = 3
LATENT_DIM = 4


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder."""
    monkeypatch.setenv("GANSERVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GANSERVE_INCEPTION", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def quick() -> ClassifierSettings:
    """Enough for the bars."""
    return ClassifierSettings(num_steps=25, batch_size=24)


@pytest.fixture
def make_bars() -> Callable[..., ImageDataset]:
    """Images 8×8 with a bright bar that says the class: on top, in the middle, or below. Noise tells them apart."""

    def make(num_images: int = 120, *, seed: int = 0, channels: int = 1, labelled: bool = True) -> ImageDataset:
        rng = np.random.default_rng(seed)
        labels: npt.NDArray[np.int64] = rng.permutation(np.arange(num_images, dtype=np.int64) % NUM_CLASSES)
        images = rng.integers(0, 60, (num_images, 8, 8, channels), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[3 * label : 3 * label + 2] += np.uint8(180)
        names = ("top", "middle", "below")
        return ImageDataset(images, labels, names, "bars") if labelled else ImageDataset(images, None, (), "bars")

    return make


class BarGenerator(nn.Module):
    """Draws the bars, with noise made of its latents; labels that it is asked for go through `wrong` first."""

    def __init__(self, wrong: Callable[[Tensor], Tensor] = lambda labels: labels, noise: float = 60 / 255) -> None:
        super().__init__()
        self.wrong = wrong
        self.noise = noise
        self.mixing = torch.from_numpy(np.random.default_rng(9).normal(size=(LATENT_DIM, 64))).float()

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """z: (N, 4), labels: (N,) or None for class 0 -> (N, 1, 8, 8)."""
        drawn = torch.zeros(len(z), dtype=torch.int64) if labels is None else self.wrong(labels)
        levels = torch.special.ndtr(z @ self.mixing / 2).view(-1, 1, 8, 8) * self.noise
        rows = torch.arange(8)[None, None, :, None]
        first = 3 * drawn.view(-1, 1, 1, 1)
        levels = levels + ((rows >= first) & (rows < first + 2)) * (180 / 255)
        images: Tensor = levels * 2 - 1
        return images
