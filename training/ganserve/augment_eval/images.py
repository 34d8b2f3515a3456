"""The real images of a study: what classifiers learn from, what choices are made by, and what they are tested on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ganserve.contract.errors import ConfigError, DatasetError
from ganserve.training.datasets import ImageDataset, Resize, load, load_test
from ganserve.training.waiting import OnProgress

Rows = npt.NDArray[np.int64]

_HOLD_OUT_SEED: Final = 0
_FEWEST_OF_CLASS: Final = 2


class Parts(NamedTuple):
    """Rows of the real images that one seed uses, int64 each."""

    learning: Rows
    validation: Rows


@dataclass(frozen=True)
class RealImages:
    """Images with classes, and others of the same shape and classes to test on."""

    training: ImageDataset
    test: ImageDataset
    source_digest: str
    """Of all images of the source, before any were held out of it."""

    held_out: float | None = None
    """Share of the source that was held out to test on; None where the test images are others."""

    @property
    def labels(self) -> Rows:
        """Of the training images."""
        assert self.training.labels is not None  # noqa: S101  `load_real` has seen to it
        return self.training.labels

    @property
    def test_labels(self) -> Rows:
        """Of the test images."""
        assert self.test.labels is not None  # noqa: S101  `load_real` has seen to it
        return self.test.labels

    def parts(self, per_class: int | None, seed: int, validation: float) -> Parts:
        """What one seed learns and validates with.

        Each class is shuffled by the seed alone, and its first `per_class` images are taken, so that those of a smaller
        number are among those of a larger one, in both parts. At least one image of each class is in each part.

        Raises:
            ConfigError: a class has fewer images than that.
        """
        learning, held_back = [], []
        for label, name in enumerate(self.training.class_names):
            rows = np.flatnonzero(self.labels == label)
            if per_class is not None and len(rows) < per_class:
                raise ConfigError(f"--per-class {per_class}: {self.training.name} has {len(rows)} of class {name}")
            if len(rows) < _FEWEST_OF_CLASS:
                raise DatasetError(
                    f"{self.training.name}: {len(rows)} training images of class {name}; it takes at least "
                    f"{_FEWEST_OF_CLASS}, one to learn from and one to choose by"
                )
            chosen = np.random.default_rng((seed, label)).permutation(rows)[:per_class]
            is_held_back = _spread(len(chosen), validation)
            held_back.append(chosen[is_held_back])
            learning.append(chosen[~is_held_back])
        return Parts(np.concatenate(learning), np.concatenate(held_back))


def load_real(
    source: str,
    *,
    test: str | None,
    holdout: float | None,
    resize: Resize | None,
    skip_bad: bool = False,
    on_progress: OnProgress | None = None,
) -> RealImages:
    """Reads the images of a study.

    Args:
        source: as `ganserve train --data` takes it.
        test: source of the test images, of its test split where it has one; None for the test split of `source`.
        holdout: share of each class of `source` to test on in place of other images.
        resize: how images come to one size; None leaves them as they are.
        skip_bad: leaves bad images out.
        on_progress: told of images decoded.

    Raises:
        ConfigError: there is nothing to test on, or flags exclude each other.
        DatasetError: images without classes, of other classes or of another shape than the rest.
    """
    if test is not None and holdout is not None:
        raise ConfigError("--test and --holdout both say what to test on; give one")
    if holdout is not None and not 0 < holdout < 1:
        raise ConfigError(f"--holdout {holdout:g}: give a share between 0 and 1, such as 0.2")
    training = load(source, resize=resize, skip_bad=skip_bad, on_progress=on_progress)
    _require_classes(training)
    tested = load_test(test or source, resize=resize, skip_bad=skip_bad, on_progress=on_progress)
    if tested is None and test is not None:
        tested = load(test, resize=resize, skip_bad=skip_bad, on_progress=on_progress)
    if holdout is not None:
        if tested is not None:
            raise ConfigError(f"--holdout {holdout:g}: {source} has test images of its own; leave it out")
        kept, held_out = _hold_out(training, holdout)
        return RealImages(kept, held_out, training.digest, holdout)
    if tested is None:
        raise ConfigError(
            f"--real {source}: has no test images of its own; name some with --test, or hold some out with "
            "--holdout 0.2"
        )
    _require_same_kind(training, tested)
    return RealImages(training, tested, training.digest)


def _spread(num_rows: int, share: float) -> npt.NDArray[np.bool_]:
    """Which of the rows are held back, bool (num_rows,): the first of them, and more, the share of any beginning."""
    marks = np.ceil(np.round(np.arange(num_rows + 1) * share, 9))
    is_held_back: npt.NDArray[np.bool_] = np.diff(marks) > 0
    if is_held_back.all():
        is_held_back[-1] = False
    return is_held_back


def _hold_out(dataset: ImageDataset, share: float) -> tuple[ImageDataset, ImageDataset]:
    """Cuts a share of each class, at least an image, out of `dataset`, the same at any time."""
    assert dataset.labels is not None  # noqa: S101
    rng = np.random.default_rng(_HOLD_OUT_SEED)
    is_out = np.zeros(len(dataset.labels), np.bool_)
    for label in range(dataset.num_classes):
        rows = rng.permutation(np.flatnonzero(dataset.labels == label))
        is_out[rows[: max(1, math.floor(share * len(rows)))]] = True
    kept, held_out = (
        ImageDataset(dataset.images[rows], dataset.labels[rows], dataset.class_names, dataset.name)
        for rows in (np.flatnonzero(~is_out), np.flatnonzero(is_out))
    )
    return kept, held_out


def _require_classes(dataset: ImageDataset) -> None:
    if dataset.labels is None or dataset.num_classes < 2:
        raise DatasetError(
            f"{dataset.name}: a classifier needs images of two classes or more; put them into a folder for each class"
        )


def _require_same_kind(training: ImageDataset, test: ImageDataset) -> None:
    if test.digest == training.digest:
        raise ConfigError(f"{test.name}: the test images are the training images; give others with --test")
    if test.class_names != training.class_names:
        raise DatasetError(
            f"{test.name}: the classes of the test images are {', '.join(test.class_names) or 'none'}, "
            f"those of the training images {', '.join(training.class_names)}"
        )
    if test.images.shape[1:] != training.images.shape[1:]:
        raise DatasetError(
            f"{test.name}: test images of {_shape(test)}, training images of {_shape(training)} (height, width, "
            "channels); bring both to one size with --size"
        )
    missing = set(range(training.num_classes)) - set(np.unique(test.labels).tolist() if test.labels is not None else ())
    if missing:
        names = ", ".join(training.class_names[label] for label in sorted(missing))
        raise DatasetError(f"{test.name}: there is no test image of class {names}; add some")


def _shape(dataset: ImageDataset) -> str:
    return "×".join(map(str, dataset.images.shape[1:]))
