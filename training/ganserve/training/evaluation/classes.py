"""How samples fall into the classes of the real images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ganserve.training.datasets import ImageDataset
from ganserve.training.scores import ClassScores

from . import metrics
from .feature_extractor import FeatureExtractor


class ClassFigures(NamedTuple):
    """The fields of `Scores` that are about classes."""

    gan_test: float | None
    gan_test_largest: float | None
    gan_test_balanced: float | None
    gan_test_chance: float | None
    judge_accuracy_balanced: float | None
    class_kl: float | None
    classes: tuple[ClassScores, ...]


@dataclass(frozen=True)
class RealClasses:
    """The classes that samples are held against; none where the data have none."""

    names: tuple[str, ...]

    counts: npt.NDArray[np.float64]
    """(num_classes,): how many images of each there are; alike for classes that count alike."""

    judge_accuracies: tuple[float | None, ...]

    @classmethod
    def of(cls, dataset: ImageDataset, judge: FeatureExtractor, *, balanced: bool) -> Self:
        """Those that `judge`, the feature extractor of `dataset`, has learnt."""
        if not judge.knows_classes or dataset.labels is None:
            return cls((), np.empty(0), ())
        counts = np.bincount(dataset.labels, minlength=dataset.num_classes).astype(np.float64)
        if balanced:
            counts = np.where(counts > 0, len(dataset.labels) / np.count_nonzero(counts), 0.0)
        return cls(dataset.class_names, counts, judge.class_accuracies)

    def figures(
        self, taken_for: npt.NDArray[np.int64], asked_for: npt.NDArray[np.int64] | None, weights: Tensor | None
    ) -> ClassFigures:
        """Holds samples against the classes.

        Both are int64 (N,): `taken_for` is the judge's word and `asked_for` None for an unconditional generator.
        `weights`, float64 (N,), say how much each sample counts.
        """
        if not self.names:
            return ClassFigures(None, None, None, None, None, None, ())
        num_classes = len(self.names)
        numbers = np.ones(len(taken_for)) if weights is None else weights.numpy()
        shares = np.bincount(taken_for, numbers, num_classes) / numbers.sum()
        target_shares = self.counts / self.counts.sum()
        gan_tests = self._gan_tests(taken_for, asked_for)
        is_asked = asked_for is not None
        return ClassFigures(
            gan_test=float(np.average(taken_for == asked_for, weights=numbers)) if is_asked else None,
            gan_test_largest=float(target_shares.max()) if is_asked else None,
            gan_test_balanced=_mean_of_known(gan_tests),
            gan_test_chance=1 / num_classes if is_asked else None,
            judge_accuracy_balanced=_mean_of_known(self.judge_accuracies),
            class_kl=metrics.class_divergence(torch.from_numpy(shares), torch.from_numpy(self.counts)),
            classes=tuple(
                ClassScores(name=name, target_share=target, share=share, gan_test=gan_test, judge_accuracy=accuracy)
                for name, target, share, gan_test, accuracy in zip(
                    self.names, target_shares.tolist(), shares.tolist(), gan_tests, self.judge_accuracies, strict=True
                )
            ),
        )

    def _gan_tests(
        self, taken_for: npt.NDArray[np.int64], asked_for: npt.NDArray[np.int64] | None
    ) -> list[float | None]:
        """Of each class, the share of samples asked for as it that are taken for it.

        Shmelkov et al., How good is my GAN?, 2018.
        """
        if asked_for is None:
            return [None] * len(self.names)
        num_asked = np.bincount(asked_for, minlength=len(self.names)).tolist()
        num_right = np.bincount(asked_for[taken_for == asked_for], minlength=len(self.names)).tolist()
        return [right / asked if asked else None for right, asked in zip(num_right, num_asked, strict=True)]


def _mean_of_known(values: list[float | None] | tuple[float | None, ...]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
