"""How far apart images are, as a run's feature extractor sees them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ganserve.contract.errors import PreconditionError
from ganserve.training.config import TrainingConfig
from ganserve.training.datasets import ImageDataset
from ganserve.training.evaluation.feature_distances import feature_distances
from ganserve.training.run import training_from_config

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def bars(make_bars: Callable[..., ImageDataset]) -> ImageDataset:
    return make_bars(60)


@pytest.fixture
def run(make_config: Callable[..., TrainingConfig], bars: ImageDataset, tmp_path: Path) -> Path:
    assert bars.labels is not None
    np.savez(tmp_path / "bars.npz", x_train=bars.images, y_train=bars.labels)
    return training_from_config(make_config(data=str(tmp_path / "bars.npz"), arch="mlp")).run_dir


def test_the_same_images_are_not_apart_and_others_are(run: Path, bars: ImageDataset) -> None:
    first, second = bars.images[:4], bars.images[4:8]
    assert feature_distances(run, first, first).tolist() == [0.0] * 4
    apart = feature_distances(run, first, second)
    assert apart.shape == (4,)
    assert apart.dtype == np.float64
    np.testing.assert_allclose(feature_distances(run, second, first), apart)
    assert (apart > 0).all()


def test_images_of_another_shape_are_not_judged(run: Path, bars: ImageDataset) -> None:
    narrow = bars.images[:2, :, :-1]
    with pytest.raises(PreconditionError, match="give the run of the models"):
        feature_distances(run, narrow, narrow)
