from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from ganserve.training.orders import ClassesAlike, Shuffled, rows_by_class

SIZES = (15, 4, 1)


@pytest.fixture
def labels() -> npt.NDArray[np.int64]:
    """Three classes of very different sizes, and a fourth without images, in no order."""
    return np.random.default_rng(0).permutation(np.repeat([0, 1, 3], SIZES))


def walk(order: ClassesAlike | Shuffled, num_epochs: int) -> list[int]:
    return [int(row) for epoch in range(num_epochs) for row in order.of_epoch(epoch)]


def test_every_class_is_shown_once_a_round(labels: npt.NDArray[np.int64]) -> None:
    order = ClassesAlike(rows_by_class(labels), seed=0)
    assert order.length == 21, "about as many as there are images, in whole rounds"
    rounds = labels[walk(order, 20)].reshape(-1, 3)
    assert np.array_equal(np.sort(rounds, axis=1), np.tile([0, 1, 3], (len(rounds), 1)))
    assert len({tuple(each) for each in rounds.tolist()}) == 6, "every order of the classes comes"


def test_a_class_shows_all_of_its_images_before_it_shows_one_again(labels: npt.NDArray[np.int64]) -> None:
    shown = np.array(walk(ClassesAlike(rows_by_class(labels), seed=0), 45))
    for label, size in zip((0, 1, 3), SIZES, strict=True):
        rows = shown[labels[shown] == label]
        passes = rows[: len(rows) // size * size].reshape(-1, size)
        assert all(Counter(each) == Counter(passes[0].tolist()) for each in passes.tolist())
        if size > 1:
            assert any(first != second for first, second in pairwise(passes.tolist()))


def test_an_epoch_is_the_same_whoever_asks_first(labels: npt.NDArray[np.int64]) -> None:
    order = ClassesAlike(rows_by_class(labels), seed=0)
    later = order.of_epoch(7).tolist()
    assert ClassesAlike(rows_by_class(labels), seed=0).of_epoch(7).tolist() == later
    assert ClassesAlike(rows_by_class(labels), seed=1).of_epoch(7).tolist() != later
    assert order.of_epoch(8).tolist() != later


def test_an_image_and_its_mirror_image_belong_to_its_class(labels: npt.NDArray[np.int64]) -> None:
    *_, of_the_last = rows_by_class(labels, 2)
    (alone,) = np.flatnonzero(labels == 3)
    assert of_the_last.tolist() == [alone, alone + len(labels)]


def test_the_shuffled_order_is_the_one_that_runs_began_with() -> None:
    assert Shuffled(6, seed=3).of_epoch(2).tolist() == np.random.default_rng((3, 2)).permutation(6).tolist()
