"""Which preset suits images that were given without one. The table is in docs/training.md."""

from __future__ import annotations

from typing import Final

from ganserve.training.config import TrainingConfig
from ganserve.training.datasets import ImageDataset

from . import DEFAULT_PRESET

_SMALLEST_SIDE_OF_PHOTOGRAPHS: Final = 16
_PHOTOGRAPHS: Final = "--preset hinge-resnet --augment translation"


def suggest_preset(config: TrainingConfig, dataset: ImageDataset) -> str:
    """One line that names flags that suit better than the default preset; empty where none do, or others were given."""
    if (config.arch, config.loss) != (TrainingConfig.arch, TrainingConfig.loss):
        return ""
    num_images, height, width, num_channels = dataset.images.shape
    if num_channels == 1 or min(height, width) < _SMALLEST_SIDE_OF_PHOTOGRAPHS:
        return ""
    classes = f" in {dataset.num_classes:,} classes" if dataset.num_classes > 1 else ""
    return (
        f"hint: these are {num_images:,} colour images of {width}×{height}{classes}; if they are photographs, give "
        f"{_PHOTOGRAPHS}, because the default, {DEFAULT_PRESET}, often draws one texture a class"
    )
