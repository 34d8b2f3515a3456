"""Which real images are for what."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganserve.augment_eval.images import RealImages, load_real
from ganserve.contract.errors import ConfigError, DatasetError
from ganserve.training.datasets import ImageDataset

from .conftest import bars


def write_npz(path: Path, train: ImageDataset, test: ImageDataset | None = None) -> str:
    arrays: dict[str, Any] = {"x_train": train.images, "y_train": train.labels}
    if test is not None:
        arrays |= {"x_test": test.images, "y_test": test.labels}
    np.savez(path, **arrays)
    return str(path)


def load(source: str, **flags: Any) -> RealImages:
    return load_real(source, **{"test": None, "holdout": None, "resize": None, **flags})


@pytest.mark.parametrize("seed", [0, 1])
def test_smaller_sizes_lie_within_larger_ones(seed: int) -> None:
    data = bars((60, 50, 40))
    real = RealImages(data, data, data.digest)
    parts = [real.parts(number, seed, 0.2) for number in (2, 5, 7, 40)]
    for number, part in zip((2, 5, 7, 40), parts, strict=True):
        held_back = -(-number // 5)
        assert np.bincount(real.labels[part.learning]).tolist() == [number - held_back] * 3
        assert np.bincount(real.labels[part.validation]).tolist() == [held_back] * 3
        assert not np.intersect1d(part.learning, part.validation).size
    for small, large in itertools.pairwise(parts):
        assert set(small.learning) <= set(large.learning)
        assert set(small.validation) <= set(large.validation)


def test_seeds_take_other_images() -> None:
    data = bars((30, 30, 30))
    real = RealImages(data, data, data.digest)
    assert set(real.parts(10, 0, 0.2).learning) != set(real.parts(10, 1, 0.2).learning)
    assert len(real.parts(None, 0, 0.2).learning) == 72


def test_too_few_images_of_a_class_are_named() -> None:
    data = bars((9, 1, 5))
    real = RealImages(data, data, data.digest)
    with pytest.raises(ConfigError, match="--per-class 7: bars has 1 of class middle"):
        real.parts(7, 0, 0.2)
    with pytest.raises(DatasetError, match="bars: 1 training images of class middle; it takes at least 2"):
        real.parts(None, 0, 0.2)


def test_the_test_split_or_other_images_are_tested_on(tmp_path: Path) -> None:
    both = write_npz(tmp_path / "both.npz", bars((9, 9, 9)), bars((3, 3, 3), seed=1))
    assert len(load(both).test.images) == 9
    plain = write_npz(tmp_path / "plain.npz", bars((4, 4, 4), seed=2))
    assert len(load(both, test=plain).test.images) == 12
    with pytest.raises(ConfigError, match=r"--real .*plain\.npz: has no test images of its own; name some with --test"):
        load(plain)
    with pytest.raises(ConfigError, match="the test images are the training images"):
        load(plain, test=plain)


def test_a_share_of_each_class_is_held_out_the_same_each_time(tmp_path: Path) -> None:
    data = bars((20, 10, 5))
    plain = write_npz(tmp_path / "plain.npz", data)
    real, again = load(plain, holdout=0.2), load(plain, holdout=0.2)
    assert np.bincount(real.test_labels).tolist() == [4, 2, 1]
    assert np.bincount(real.labels).tolist() == [16, 8, 4]
    assert (real.test.digest, real.source_digest) == (again.test.digest, data.digest)
    together = np.concatenate([real.training.images, real.test.images])
    assert len(np.unique(together.reshape(35, -1), axis=0)) == 35
    both = write_npz(tmp_path / "both.npz", data, bars((3, 3, 3), seed=1))
    with pytest.raises(ConfigError, match=r"--holdout 0\.2: .* has test images of its own; leave it out"):
        load(both, holdout=0.2)
    with pytest.raises(ConfigError, match="--test and --holdout both say"):
        load(both, test=plain, holdout=0.2)
    with pytest.raises(ConfigError, match="--holdout 1: give a share between 0 and 1"):
        load(plain, holdout=1.0)


def test_images_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    plain = write_npz(tmp_path / "plain.npz", bars((9, 9, 9)))
    two = bars((5, 5), seed=3)
    with pytest.raises(
        DatasetError, match="the classes of the test images are 0, 1, those of the training images 0, 1"
    ):
        load(plain, test=write_npz(tmp_path / "two.npz", two))
    colour = bars((5, 5, 5), seed=3)
    wide = ImageDataset(np.repeat(colour.images, 3, axis=3), colour.labels, colour.class_names, "colour")
    with pytest.raises(DatasetError, match="test images of 8×8×3, training images of 8×8×1"):
        load(plain, test=write_npz(tmp_path / "colour.npz", wide))
    unlabelled = tmp_path / "none.npz"
    np.savez(unlabelled, x_train=two.images)
    with pytest.raises(DatasetError, match="a classifier needs images of two classes or more"):
        load(str(unlabelled), holdout=0.5)
