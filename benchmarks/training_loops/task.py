"""What is trained to measure speed: a preset's networks on random images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ganserve.contract.errors import ConfigError
from ganserve.training.config import TrainingConfig
from ganserve.training.datasets import ImageDataset, Resize
from ganserve.training.presets import preset_path, read_settings

_NUM_CLASSES = 10
_MOST_IMAGES = 50_000
_MOST_BYTES = 2**28


def config_of(preset: str) -> TrainingConfig:
    """The settings of a preset. Nothing is written, so the folder of the run is any. Raises ConfigError."""
    path = preset_path(preset)
    settings = {"data": "random", "out": Path(), **read_settings(path)}
    try:
        return TrainingConfig(**settings | {"betas": tuple(settings.get("betas", TrainingConfig.betas))})
    except TypeError as error:
        raise ConfigError(f"{path}: cannot be read as settings ({error})") from error


def random_images(size: int, num_channels: int, batch_size: int) -> ImageDataset:
    """Seeded noise, as many images as a common dataset has, if they are small. Raises ConfigError for a bad size."""
    side = Resize.parse(str(size)).height
    num_images = min(_MOST_IMAGES, _MOST_BYTES // (side * side * num_channels))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (max(num_images, batch_size), side, side, num_channels), dtype=np.uint8)
    labels = np.arange(len(images), dtype=np.int64) % _NUM_CLASSES
    return ImageDataset(images, labels, tuple(map(str, range(_NUM_CLASSES))), "random")
