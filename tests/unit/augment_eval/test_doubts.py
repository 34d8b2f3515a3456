"""What is warned of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ganserve.augment_eval.doubts import doubts_of
from ganserve.augment_eval.images import RealImages
from ganserve.training.datasets.image_hashes import smallest_hashes

from .conftest import BarSource, bars

TRAINING, TEST = bars((30, 30, 30)), bars((40, 40, 40), seed=1)
REAL = RealImages(TRAINING, TEST, TRAINING.digest)
EVEN: list[tuple[int, ...]] = [(24, 24, 24)]


def doubts(source: BarSource, real: RealImages = REAL, counts: list[tuple[int, ...]] = EVEN) -> str:
    return "\n".join(doubts_of(real, source.get_model(), counts))


def trained_on(images: npt.NDArray[np.uint8]) -> BarSource:
    source = BarSource(digest="a" * 64)
    source.model.card.dataset.image_hashes = smallest_hashes(images)
    return source


def test_a_generator_of_other_images_is_not_doubted() -> None:
    assert doubts(trained_on(TRAINING.images)) == ""


def test_a_generator_that_was_trained_on_test_images_is_found() -> None:
    assert "bars was trained on the test images" in doubts(BarSource(digest=TEST.digest))
    held_out = RealImages(TRAINING, TEST, "f" * 64, 0.2)
    assert "those images that are held out to test on among them" in doubts(BarSource(digest="f" * 64), held_out)
    mixed = trained_on(np.concatenate([TRAINING.images, TEST.images[:30]]))
    assert "of 120 test images that its card can tell of, 30 are among its training images, pixel for pixel (25%)" in (
        doubts(mixed)
    )


def test_a_card_that_does_not_tell_is_told() -> None:
    assert "it is not known whether bars was trained on images of the test set" in doubts(BarSource())


def test_a_generator_that_has_seen_the_validation_images() -> None:
    source = trained_on(TRAINING.images)
    source.model.card.dataset.digest = TRAINING.digest
    assert doubts(source).startswith("bars was trained on these images, those that the amount is chosen by among them")


def test_imbalance_missing_classes_and_the_cards_own_warnings() -> None:
    source = BarSource(("top", "below"), warnings=["it has collapsed"])
    found = doubts(source, counts=[(24, 8, 2)])
    assert "bars does not know middle: these classes show real images more often" in found
    assert "classes differ in size (the largest class has 12 times as many images as the smallest)" in found
    assert "the generator's card warns: it has collapsed" in found
