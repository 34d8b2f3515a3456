"""What speaks against a study's figures, told before and beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ganserve.client import ModelInfo
from ganserve.training.balance import balance_hint
from ganserve.training.datasets.image_hashes import look_up

from .images import RealImages


def doubts_of(real: RealImages, model: ModelInfo, real_counts: Sequence[Sequence[int]]) -> list[str]:
    """A sentence each. `real_counts` are the images of each class to learn from, of every size."""
    return [
        *_seen_test_images(real, model),
        *_missing_classes(real, model),
        *_other_shape(real, model),
        *_imbalance(real_counts),
        *_seen_validation_images(real, model),
        *(f"the generator's card warns: {warning}" for warning in model.card.warnings),
    ]


def _seen_test_images(real: RealImages, model: ModelInfo) -> Iterator[str]:
    if model.card.dataset.digest == real.test.digest:
        yield (
            f"{model.name} was trained on the test images, so what its samples bring says nothing of new images; take "
            "other test images, or a generator of the training images"
        )
    elif real.held_out is not None and model.card.dataset.digest == real.source_digest:
        yield (
            f"{model.name} was trained on all of {real.training.name}, those images that are held out to test on among "
            "them, so its samples may bring more here than on new images; train it on the rest, or give --test"
        )
    elif not model.card.dataset.image_hashes or model.image_shape != real.test.images.shape[1:]:
        yield (
            f"it is not known whether {model.name} was trained on images of the test set: its card does not tell, or "
            "tells of images of another shape"
        )
    else:
        checked, known = look_up(real.test.images, model.card.dataset.image_hashes)
        if known:
            yield (
                f"{model.name} was trained on images of the test set: of {checked:,} test images that its card can "
                f"tell of, {known:,} are among its training images, pixel for pixel ({known / checked:.0%}), so its "
                "samples may bring more here than on new images"
            )


def _seen_validation_images(real: RealImages, model: ModelInfo) -> Iterator[str]:
    if model.card.dataset.digest == real.source_digest:
        yield (
            f"{model.name} was trained on these images, those that the amount is chosen by among them, so a larger "
            "amount may be chosen than is best; the test is not touched by that"
        )


def _missing_classes(real: RealImages, model: ModelInfo) -> Iterator[str]:
    missing = [name for name in real.training.class_names if name not in model.class_names]
    if missing:
        yield (
            f"{model.name} does not know {', '.join(missing)}: these classes show real images more often in place of "
            "synthetic ones, and a classifier may learn that what looks generated is none of them"
        )


def _other_shape(real: RealImages, model: ModelInfo) -> Iterator[str]:
    shape = real.training.images.shape[1:]
    if model.image_shape != shape:
        yield (
            f"samples are {_by(model.image_shape)} and real images {_by(shape)} (height, width, channels): samples are "
            "brought to the latter, scaled with Lanczos, and may be told by that; --size gives the real ones another"
        )


def _imbalance(real_counts: Sequence[Sequence[int]]) -> Iterator[str]:
    hints = {hint: None for counts in real_counts if (hint := balance_hint(counts))}
    for hint in hints:
        yield (
            f"classes differ in size ({hint}): all ways to learn but `real` and `topped up` show the images of smaller "
            "classes more often, and figures are balanced accuracy"
        )


def _by(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
