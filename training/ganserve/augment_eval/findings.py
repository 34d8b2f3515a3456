"""The figures of a study, read out of its records."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ganserve.client.quotas import Quota

from .arms import Arm
from .comparison import Difference, Outcome, holm, outcome, paired_difference
from .records import Record


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over seeds."""

    mean: float
    sd: float

    @classmethod
    def of(cls, values: Sequence[float] | npt.NDArray[np.float64]) -> Spread:
        """Of at least two values."""
        return cls(float(np.mean(values)), float(np.std(values, ddof=1)))

    def __str__(self) -> str:
        return f"{self.mean:.1%} ± {100 * self.sd:.1f}"


@dataclass(frozen=True, eq=False)
class ArmFindings:
    """What one arm came to, over its seeds in order."""

    arm: Arm
    quotas: tuple[Quota, ...]
    """Images of each class in an epoch."""

    records: tuple[Record, ...]
    test_labels: npt.NDArray[np.int64]

    @property
    def is_right(self) -> npt.NDArray[np.bool_]:
        """Which test images each seed's classifier tells, bool (seeds, test images)."""
        return np.stack([record.is_right for record in self.records])

    @property
    def accuracy(self) -> Spread:
        """Share of test images."""
        return Spread.of(self.is_right.mean(axis=1))

    @property
    def recalls(self) -> list[Spread]:
        """Share of the test images of each class."""
        return [Spread.of(recalls) for recalls in self._recalls.T]

    @property
    def balanced_accuracy(self) -> Spread:
        """Mean of the recalls."""
        return Spread.of(self._recalls.mean(axis=1))

    @property
    def validation_loss(self) -> float:
        """Balanced, mean over seeds."""
        return float(np.mean([record.validation_loss for record in self.records]))

    @property
    def _recalls(self) -> npt.NDArray[np.float64]:
        """(seeds, classes)."""
        is_right, classes = self.is_right, np.unique(self.test_labels)
        return np.stack([is_right[:, self.test_labels == label].mean(axis=1) for label in classes], axis=1)

    def to_dict(self, class_names: Sequence[str]) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "name": self.arm.name,
            **dataclasses.asdict(self.arm),
            "real_per_epoch": [quota.real for quota in self.quotas],
            "synthetic_per_epoch": [quota.synthetic for quota in self.quotas],
            "learning_rates": [record.learning_rate for record in self.records],
            "validation_loss": self.validation_loss,
            "accuracy": dataclasses.asdict(self.accuracy),
            "balanced_accuracy": dataclasses.asdict(self.balanced_accuracy),
            "recall": {
                name: dataclasses.asdict(recall) for name, recall in zip(class_names, self.recalls, strict=True)
            },
        }


@dataclass(frozen=True, eq=False)
class Comparison:
    """The chosen amount of synthetic images against the same without them."""

    with_samples: ArmFindings
    without: ArmFindings
    difference: Difference
    adjusted_p: float

    @property
    def outcome(self) -> Outcome:
        """What it says of synthetic images."""
        return outcome(self.difference, self.adjusted_p)

    @property
    def is_saturated(self) -> bool:
        """Whether every test image is told right by all classifiers, so that nothing could be better than another."""
        return bool(self.with_samples.is_right.all() and self.without.is_right.all())

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "with": self.with_samples.arm.name,
            "without": self.without.arm.name,
            "outcome": self.outcome,
            "difference": dataclasses.asdict(self.difference),
            "adjusted_p": self.adjusted_p,
        }


@dataclass(frozen=True, eq=False)
class SizeFindings:
    """What one number of real images per class came to."""

    per_class: int | None
    num_steps: int
    mirror: bool
    arms: tuple[ArmFindings, ...]

    @property
    def title(self) -> str:
        """Such as `100 real images per class`."""
        return "the real images as they are" if self.per_class is None else f"{self.per_class:,} real images per class"

    @property
    def best(self) -> ArmFindings:
        """The one that validation images would choose."""
        return min(self.arms, key=lambda each: each.validation_loss)

    def of_kind(self, kind: str) -> list[ArmFindings]:
        """Those arms, in order."""
        return [each for each in self.arms if each.arm.kind == kind]

    @property
    def baseline(self) -> ArmFindings:
        """Real images alone, of classes made even."""
        return (self.of_kind("oversampled") or self.of_kind("real"))[0]

    def comparisons(self) -> list[Comparison]:
        """With samples at the chosen ratio against without them: of real images, and of classic augmentation."""
        pairs = [
            (chosen_synthetic(self.of_kind("synthetic")), self.baseline),
            (self.of_kind("both")[0], self.of_kind("classic")[0]),
        ]
        differences = [paired_difference(left.is_right, right.is_right, left.test_labels) for left, right in pairs]
        adjusted = holm([difference.p for difference in differences])
        return [
            Comparison(*pair, difference, p) for pair, difference, p in zip(pairs, differences, adjusted, strict=True)
        ]


def chosen_synthetic(arms: Sequence[ArmFindings]) -> ArmFindings:
    """Of the ratios, the one with the lowest balanced loss on validation images, the mean over seeds."""
    return min(arms, key=lambda each: each.validation_loss)
