from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ganserve.training.evaluation import troubles_of
from ganserve.training.scores import ClassScores, Scores


def of_classes(scores: Scores, *classes: tuple[float, float, float | None, float | None]) -> Scores:
    """The scores with classes of these target shares, shares, GAN-tests and accuracies of the judge."""
    each = [
        ClassScores(name=name, target_share=target, share=share, gan_test=gan_test, judge_accuracy=accuracy)
        for name, (target, share, gan_test, accuracy) in zip("abcdefghijklmnop", classes, strict=False)
    ]
    gan_tests = [one.gan_test for one in each if one.gan_test is not None]
    accuracies = [one.judge_accuracy for one in each if one.judge_accuracy is not None]
    return dataclasses.replace(
        scores,
        classes=tuple(each),
        gan_test=sum(one.target_share * (one.gan_test or 0) for one in each) if gan_tests else None,
        gan_test_largest=max(one.target_share for one in each) if gan_tests else None,
        gan_test_balanced=sum(gan_tests) / len(gan_tests) if gan_tests else None,
        gan_test_chance=1 / len(each) if gan_tests else None,
        judge_accuracy_balanced=sum(accuracies) / len(accuracies),
    )


def kinds(scores: Scores) -> list[str]:
    return [trouble.kind for trouble in troubles_of(scores)]


def test_a_good_generator_has_none(scores: Scores) -> None:
    assert troubles_of(scores) == []


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"diversity": 0.2}, "they lie 20% as far apart as real images do"),
        ({"recall": 0.05}, "and near 5% of those"),
    ],
)
def test_a_collapse(scores: Scores, change: dict[str, Any], text: str) -> None:
    (trouble,) = troubles_of(dataclasses.replace(scores, **change))
    assert trouble.kind == "collapse"
    assert text in trouble.text


def test_a_generator_that_draws_the_largest_class_alone(scores: Scores) -> None:
    """GAN-test as a whole looks fine: 73 %."""
    ignoring = of_classes(scores, (0.75, 0.97, 0.974, 0.99), (0.2, 0.03, 0.03, 0.98), (0.05, 0.0, 0.0, 0.95))
    (trouble,) = troubles_of(ignoring)
    assert trouble.kind == "ignored classes"
    assert "not of the class asked for (b 3.0%, c 0.0%)" in trouble.text
    assert "alike is 33.5%, where chance gets 33.3% and real images 97.3%" in trouble.text
    assert "--balance-classes: the largest class has 15 times as many images as the smallest" in trouble.text


def test_two_classes_drawn_by_lot(scores: Scores) -> None:
    (trouble,) = troubles_of(of_classes(scores, (0.5, 0.5, 0.5, 0.99), (0.5, 0.5, 0.52, 0.99)))
    assert trouble.text.startswith(
        "samples are not of the class asked for: GAN-test with classes counting alike is 51.0%"
    )
    assert "--balance-classes" not in trouble.text


def test_one_class_of_many(scores: Scores) -> None:
    drawn, lost = (0.1, 0.11, 0.95, 0.97), (0.1, 0.01, 0.05, 0.97)
    (trouble,) = troubles_of(of_classes(scores, *[drawn] * 9, lost))
    assert "not of the class asked for (j 5.0%)" in trouble.text


def test_a_class_that_an_unconditional_generator_never_draws(scores: Scores) -> None:
    missing = of_classes(scores, (0.5, 0.7, None, 0.95), (0.4, 0.3, None, 0.95), (0.1, 0.001, None, 0.95))
    (trouble,) = troubles_of(missing)
    assert trouble.kind == "missing classes"
    assert "almost no sample looks like class c;" in trouble.text


def test_a_judge_that_knows_nothing_is_the_trouble_and_not_the_generator(scores: Scores) -> None:
    weak = of_classes(scores, *[(1 / 3, 1 / 3, 0.35, 0.4)] * 3)
    (trouble,) = troubles_of(weak)
    assert trouble.kind == "weak judge"
    assert "gets only 40.0% of held-out real images right, and by chance 33.3%" in trouble.text


def test_a_class_that_the_judge_does_not_know_is_not_the_generators_fault(scores: Scores) -> None:
    known = (0.45, 0.45, 0.9, 0.95)
    (trouble,) = troubles_of(of_classes(scores, known, known, (0.1, 0.1, 0.0, 0.1)))
    assert "hardly knows some classes (c 10.0% of their held-out real images)" in trouble.text


def test_a_judge_of_poses(scores: Scores) -> None:
    unlabelled = dataclasses.replace(
        scores, classes=(), gan_test=None, gan_test_balanced=None, gan_test_chance=None, judge_accuracy_balanced=None
    )
    assert troubles_of(unlabelled) == []
    assert kinds(dataclasses.replace(unlabelled, judge_accuracy=0.3)) == ["weak judge"]
