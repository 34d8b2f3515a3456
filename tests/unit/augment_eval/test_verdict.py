"""What is said of answers that are made up."""

from __future__ import annotations

import numpy as np
import pytest

from ganserve.augment_eval.arms import Arm
from ganserve.augment_eval.findings import ArmFindings, SizeFindings
from ganserve.augment_eval.records import Record
from ganserve.augment_eval.verdict import verdict

LABELS = np.arange(6_000) % 3


def arm(kind: Arm, rate: float, loss: float, seed: int) -> ArmFindings:
    """Three seeds that tell about a share `rate` of the test images, at a validation loss."""
    rng = np.random.default_rng(seed)
    records = [
        Record(
            per_class=20,
            arm=kind,
            seed=number,
            learning_rate=0.003,
            num_steps=200,
            validation_loss=loss,
            validation_accuracy=rate,
            mirrored_validation_accuracy=rate,
            is_right=rng.random(len(LABELS)) < rate,
            seconds=1.0,
        )
        for number in range(3)
    ]
    return ArmFindings(kind, tuple(kind.quotas((16, 8, 4), (True,) * 3)), tuple(records), LABELS)


def size(synthetic: float, both: float, *, topped_up: float = 0.8, classic: float = 0.85) -> SizeFindings:
    """Real images alone are told at 0.8; ratio 1 is what validation images choose."""
    arms = (
        arm(Arm(kind="real"), 0.7, 0.9, 0),
        arm(Arm(kind="oversampled"), 0.8, 0.7, 1),
        arm(Arm(kind="synthetic", ratio=0.5), 0.99, 0.8, 2),
        arm(Arm(kind="synthetic", ratio=1), synthetic, 0.6, 3),
        arm(Arm(kind="topped up"), topped_up, 0.9, 4),
        arm(Arm(kind="classic"), classic, 0.5, 5),
        arm(Arm(kind="both", ratio=1), both, 0.4, 6),
    )
    return SizeFindings(20, 200, False, arms)


def test_only_what_validation_images_choose_is_tested() -> None:
    compared = size(0.9, 0.9).comparisons()
    assert [(each.with_samples.arm.name, each.without.arm.name) for each in compared] == [
        ("synthetic ×1", "real, oversampled"),
        ("classic + synthetic ×1", "classic augmentation"),
    ]


@pytest.mark.parametrize(
    ("synthetic", "both", "sentences"),
    [
        (0.9, 0.95, ("Synthetic images help: ", "On top of classic augmentation, synthetic images help: ")),
        (0.7, 0.75, ("Synthetic images hurt: ", "On top of classic augmentation, synthetic images hurt: ")),
        (
            0.8,
            0.851,
            (
                "Synthetic images: with and without them cannot be told apart, though more",
                "On top of classic augmentation, synthetic images: with and without them cannot be told apart",
            ),
        ),
    ],
)
def test_helps_hurts_or_cannot_be_told_apart(synthetic: float, both: float, sentences: tuple[str, str]) -> None:
    text = verdict(size(synthetic, both))
    assert text.startswith(sentences[0])
    assert sentences[1] in text
    assert "the highest there is synthetic ×0.5" in text


def test_figures_stand_in_the_sentence() -> None:
    text = verdict(size(0.9, 0.9))
    first = text[: text.index("On top")]
    assert "synthetic ×1 (amount chosen on validation images) gets 9" in first
    assert "and real, oversampled 80." in first or "and real, oversampled 79." in first
    assert "adjusted p " in first
    assert "Best overall, by validation images, is classic + synthetic ×1, with " in text


def test_filling_up_is_warned_of_where_it_shows() -> None:
    assert "Filling the smaller classes up with samples gets -1" in verdict(size(0.9, 0.9, topped_up=0.65))
    assert "Filling" not in verdict(size(0.9, 0.9, topped_up=0.8))


def test_a_tie_is_called_no_higher_figure() -> None:
    kinds = (Arm(kind="real"), Arm(kind="synthetic", ratio=1), Arm(kind="classic"), Arm(kind="both", ratio=1))
    arms = tuple(arm(kind, 1.0, loss, 0) for kind, loss in zip(kinds, (0.4, 0.3, 0.1, 0.2), strict=True))
    text = verdict(SizeFindings(20, 200, False, arms))
    assert "Best overall, by validation images, is classic augmentation, with 100.0% ± 0.0 on the test images." in text
    assert "highest" not in text


def test_test_images_that_are_all_told_right_cannot_tell() -> None:
    text = verdict(size(0.9, 1.0, classic=1.0))
    assert "On top of classic augmentation, synthetic images: these test images cannot tell" in text
    assert "seeds" not in text
    assert "these test images cannot tell" not in verdict(size(0.9, 1.0, classic=0.9999))
