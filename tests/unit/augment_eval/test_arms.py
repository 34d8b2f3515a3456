"""Every arm shows exactly what it says."""

from __future__ import annotations

import numpy as np
import pytest

from ganserve.augment_eval.arms import Arm, num_arms, without_choices
from ganserve.augment_eval.learning import LearningSet, learning_set
from ganserve.augment_eval.study import Study

from .conftest import BarSource, MakeStudy

COUNTS = (16, 8, 4)
ALL = (True, True, True)


def counts_of(arm: Arm, has_samples: tuple[bool, ...] = ALL) -> list[tuple[int, int]]:
    return [(quota.real, quota.synthetic) for quota in arm.quotas(COUNTS, has_samples)]


@pytest.mark.parametrize(
    ("arm", "expected"),
    [
        (Arm(kind="real"), [(16, 0), (8, 0), (4, 0)]),
        (Arm(kind="oversampled"), [(16, 0)] * 3),
        (Arm(kind="classic"), [(16, 0)] * 3),
        (Arm(kind="synthetic", ratio=0.25), [(16, 4)] * 3),
        (Arm(kind="synthetic", ratio=4), [(16, 64)] * 3),
        (Arm(kind="topped up"), [(16, 0), (8, 8), (4, 12)]),
        (Arm(kind="both", ratio=0.5), [(16, 8)] * 3),
        (Arm(kind="synthetic only", ratio=4), [(0, 64)] * 3),
    ],
    ids=lambda value: value.name if isinstance(value, Arm) else "",
)
def test_images_of_each_class(arm: Arm, expected: list[tuple[int, int]]) -> None:
    assert counts_of(arm) == expected


def test_a_class_that_the_generator_does_not_know_shows_real_images_instead() -> None:
    known = (True, True, False)
    assert counts_of(Arm(kind="synthetic", ratio=0.5), known) == [(16, 8), (16, 8), (24, 0)]
    assert counts_of(Arm(kind="topped up"), known) == [(16, 0), (8, 8), (16, 0)]
    assert counts_of(Arm(kind="synthetic only", ratio=1), known) == [(0, 16), (0, 16), (0, 0)]


def test_what_would_be_twice_the_same_is_left_out() -> None:
    uneven, even = without_choices(COUNTS, [1, 0.25]), without_choices((5, 5), [1, 0.25])
    assert [arm.name for arm in uneven] == [
        "real",
        "real, oversampled",
        "synthetic ×0.25",
        "synthetic ×1",
        "topped up",
        "synthetic only",
    ]
    assert [arm.kind for arm in even] == ["real", "synthetic", "synthetic", "synthetic only"]
    assert (num_arms(COUNTS, [1, 0.25]), num_arms((5, 5), [1, 0.25])) == (8, 6)


def learning_of(study: Study, arm: Arm, seed: int = 0) -> LearningSet:
    (size,) = study.sizes
    parts = study.real.parts(None, seed, study.settings.validation)
    quotas = arm.quotas(size.real_counts, ALL)
    return learning_set(study.real, parts.learning, quotas, study.pool, seed=seed, most_samples=1_000)


def test_an_epoch_shows_each_quota_exactly_and_no_image_twice_too_soon(make_study: MakeStudy) -> None:
    learning = learning_of(make_study(), Arm(kind="synthetic", ratio=0.5))
    for epoch in range(3):
        rows = learning.shown(3 * 3 * 24, 0)[epoch * 72 : (epoch + 1) * 72]
        shown = [
            (int(np.sum(~synthetic)), int(np.sum(synthetic)))
            for label in range(3)
            for synthetic in (learning.is_synthetic[rows[learning.labels[rows] == label]],)
        ]
        assert shown == [(16, 8)] * 3
    times = np.bincount(learning.shown(72, 0), minlength=len(learning.images))
    assert set(times[learning.is_synthetic]) == {1}
    smallest = times[(learning.labels == 2) & ~learning.is_synthetic]
    assert (len(smallest), set(smallest)) == (4, {4}), "16 shown of 4 images"


def test_the_order_is_the_seeds_own(make_study: MakeStudy) -> None:
    learning = learning_of(make_study(), Arm(kind="real"))
    np.testing.assert_array_equal(learning.shown(50, 1), learning.shown(50, 1))
    np.testing.assert_array_equal(learning.shown(50, 1), learning.shown(90, 1)[:50])
    assert not np.array_equal(learning.shown(50, 1), learning.shown(50, 2))


def test_synthetic_images_are_those_of_the_label_and_seed(make_study: MakeStudy) -> None:
    source = BarSource()
    learning = learning_of(make_study(source), Arm(kind="synthetic only", ratio=1), seed=2)
    samples = next(source.stream(3, seed=2, labels=[0, 1, 2]))
    for label in range(3):
        np.testing.assert_array_equal(learning.images[learning.labels == label][0], samples[label])


def test_no_more_different_samples_than_are_ever_shown(make_study: MakeStudy) -> None:
    study = make_study()
    parts = study.real.parts(None, 0, 0.2)
    quotas = Arm(kind="synthetic", ratio=1).quotas(study.sizes[0].real_counts, ALL)
    learning = learning_set(study.real, parts.learning, quotas, study.pool, seed=0, most_samples=3)
    assert [int(np.sum(learning.is_synthetic & (learning.labels == label))) for label in range(3)] == [3, 3, 3]
    shown = learning.shown(96, 0)
    assert int(learning.is_synthetic[shown].sum()) == 48, "the share is what was asked for"
