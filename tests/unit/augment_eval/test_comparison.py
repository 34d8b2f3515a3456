"""When a difference is one."""

from __future__ import annotations

import numpy as np
import pytest

from ganserve.augment_eval.comparison import Difference, holm, outcome, paired_difference

LABELS = np.arange(6_000) % 3


def right(rates: list[float], *, seed: int = 0, labels: np.ndarray = LABELS) -> np.ndarray:
    """For each seed of a study, which images it tells, at its rate."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.random(len(labels)) < rate for rate in rates])


def result(left: np.ndarray, without: np.ndarray, labels: np.ndarray = LABELS) -> str:
    found = paired_difference(left, without, labels)
    return outcome(found, found.p)


def test_it_helps_where_every_seed_says_so() -> None:
    found = paired_difference(right([0.9, 0.91, 0.9]), right([0.8, 0.81, 0.8], seed=1), LABELS)
    assert 0 < found.low < found.mean < found.high
    assert found.mean == pytest.approx(0.1, abs=0.03)
    assert outcome(found, found.p) == "help"


def test_it_hurts_where_every_seed_says_so() -> None:
    assert result(right([0.8, 0.81, 0.8], seed=1), right([0.9, 0.91, 0.9])) == "hurt"


def test_both_directions_are_alike() -> None:
    left, without = right([0.9, 0.85, 0.88]), right([0.8, 0.83, 0.82], seed=1)
    there, back = paired_difference(left, without, LABELS), paired_difference(without, left, LABELS)
    assert there.mean == pytest.approx(-back.mean)
    assert there.low == pytest.approx(-back.high)
    assert there.p == pytest.approx(back.p)


def test_seeds_that_disagree_cannot_tell_however_many_images_there_are() -> None:
    labels = np.arange(30_000) % 3
    left, without = right([0.9, 0.7, 0.8], labels=labels), right([0.78, 0.78, 0.78], seed=1, labels=labels)
    assert result(left, without, labels) == "cannot be told apart"


def test_few_images_cannot_tell_however_much_seeds_agree() -> None:
    labels = np.arange(12) % 3
    same = np.array([True] * 10 + [False] * 2)
    fewer = np.array([True] * 9 + [False] * 3)
    assert result(np.stack([same] * 3), np.stack([fewer] * 3), labels) == "cannot be told apart"


def test_the_same_answers_are_no_difference() -> None:
    same = right([0.5, 0.5, 0.5])
    assert paired_difference(same, same, LABELS) == Difference(mean=0, low=0, high=0, p=1)
    assert result(np.ones_like(same), np.zeros_like(same)) == "help"


def test_classes_count_alike() -> None:
    labels = np.array([0] * 90 + [1] * 10)
    left = np.ones((3, 100), np.bool_)
    without = left.copy()
    without[:, 95:] = False
    assert paired_difference(left, without, labels).mean == pytest.approx(0.25)


@pytest.mark.parametrize("num_seeds", [3, 6])
def test_without_a_difference_it_is_rarely_found(num_seeds: int) -> None:
    rng = np.random.default_rng(5)
    difficulty = rng.random(300)
    labels = np.arange(300) % 3
    alarms = 0
    for _ in range(400):
        left, without = (
            rng.random((num_seeds, 300)) < difficulty + rng.normal(0, 0.03, (num_seeds, 1)) for _ in range(2)
        )
        alarms += result(left, without, labels) != "cannot be told apart"
    assert alarms / 400 <= 0.08, "0.05, give or take three standard deviations"


def test_holm() -> None:
    assert holm([0.04, 0.01]) == pytest.approx([0.04, 0.02])
    assert holm([0.03, 0.04]) == pytest.approx([0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
