"""The pool of samples, and how classes are matched."""

from __future__ import annotations

import numpy as np
import pytest

from ganserve.augment_eval.samples import fitted, match_classes
from ganserve.contract.errors import ConfigError, DatasetError

from .conftest import NAMES, BarSource, pool_of


def test_a_sample_does_not_depend_on_how_many_are_drawn() -> None:
    few, many = (pool_of(BarSource(), {0: 0, 1: 1, 2: 2}, number) for number in (3, 20))
    for label in range(3):
        np.testing.assert_array_equal(few.of_class(label, 5, 3), many.of_class(label, 5, 3))
    assert not np.array_equal(many.of_class(0, 5, 3), many.of_class(0, 6, 3))


def test_each_seed_is_drawn_once() -> None:
    source, told = BarSource(), []
    pool = pool_of(source, {0: 0, 1: 1}, 4)
    pool.draw([0, 1], lambda num_done, total: told.append((num_done, total)))
    pool.draw([0, 1])
    pool.of_class(1, 1, 4)
    assert (source.num_drawn, told[-1]) == (16, (16, 16))


def test_classes_are_matched_by_name() -> None:
    source = BarSource(("below", "left", "top"))
    known = match_classes(NAMES, source.get_model())
    assert known == {0: 2, 2: 0}
    pool = pool_of(source, known, 2)
    top, below = (pool.of_class(label, 0, 2).astype(int) for label in (0, 2))
    assert (top[:, :2].mean(), below[:, 6:].mean()) > (150, 150)
    assert (top[:, 6:].mean(), below[:, :2].mean()) < (80, 80)


def test_generators_of_other_things_are_refused() -> None:
    with pytest.raises(ConfigError, match="the generator draws no classes"):
        match_classes(NAMES, BarSource(()).get_model())
    with pytest.raises(
        DatasetError, match="real images' classes are 'top', 'middle', 'below', and bars's 'cat', 'dog': none has"
    ):
        match_classes(NAMES, BarSource(("cat", "dog")).get_model())


def test_samples_of_another_shape_are_brought_to_the_real_images() -> None:
    grey = np.full((2, 8, 8, 1), 77, np.uint8)
    colour = fitted(grey, (16, 12, 3))
    assert colour.shape == (2, 16, 12, 3)
    assert (colour == 77).all()
    green = np.zeros((1, 4, 4, 3), np.uint8)
    green[..., 1] = 100
    assert fitted(green, (4, 4, 1))[0, 0, 0, 0] == 59
    assert fitted(grey, (8, 8, 1)) is grey
