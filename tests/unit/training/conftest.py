"""Small real images and configs for the training tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganserve.training import TrainingConfig
from ganserve.training.datasets import ImageDataset
from ganserve.training.scores import ClassScores, Scores

TINY: dict[str, Any] = {
    "batch_size": 4,
    "latent_dim": 8,
    "base_width": 4,
    "steps": 2,
    "device": "cpu",
    "evaluate_every": 0,
    "report_every": 2,
    "sample_every": 100,
    "checkpoint_every": 100,
}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Tiny tensors are faster on one thread."""
    torch.set_num_threads(1)


@pytest.fixture
def make_config(tmp_path: Path) -> Callable[..., TrainingConfig]:
    """A config of tiny networks on the digits; keywords override it."""

    def make(**overrides: Any) -> TrainingConfig:
        settings: dict[str, Any] = {"data": "digits", "out": tmp_path / "run", **TINY, **overrides}
        return TrainingConfig(**settings)

    return make


@pytest.fixture
def make_dataset() -> Callable[..., ImageDataset]:
    """Random images of a shape, with three classes unless told otherwise."""

    def make(
        height: int = 8, width: int = 8, channels: int = 1, num_images: int = 10, *, labelled: bool = True
    ) -> ImageDataset:
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (num_images, height, width, channels), dtype=np.uint8)
        labels = np.arange(num_images, dtype=np.int64) % 3 if labelled else None
        return ImageDataset(images, labels, ("a", "b", "c") if labelled else (), "random")

    return make


@pytest.fixture
def write_image() -> Callable[..., None]:
    """Writes one image file of a mode and size, all pixels of one level."""

    def write(path: Path, *, size: tuple[int, int] = (6, 5), mode: str = "L", level: int = 100) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        colour = level if len(Image.new(mode, (1, 1)).getbands()) == 1 else (level,) * len(mode)
        Image.new(mode, size, colour).save(path)

    return write


@pytest.fixture
def scores() -> Scores:
    """What an evaluation of a good generator of three classes finds."""
    shares = {"a": 0.3, "b": 0.3, "c": 0.4}
    return Scores(
        num_images=100,
        fid_domain=1.0,
        fid_floor=0.1,
        kid=0.0,
        precision=0.9,
        recall=0.9,
        density=0.9,
        coverage=0.9,
        diversity=0.95,
        gan_test=0.9,
        gan_test_largest=0.4,
        gan_test_balanced=0.9,
        gan_test_chance=1 / 3,
        judge_accuracy=0.95,
        judge_accuracy_balanced=0.95,
        class_kl=0.0,
        fid_inception=None,
        classes=tuple(
            ClassScores(name=name, target_share=share, share=share, gan_test=0.9, judge_accuracy=0.95)
            for name, share in shares.items()
        ),
    )
