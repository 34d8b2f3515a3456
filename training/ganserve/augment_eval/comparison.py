"""Whether two ways to learn differ, by more than other seeds and other test images would make them differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr, stdtrit

ALPHA: Final = 0.05
TEST: Final = (
    "paired, two-sided test over seeds × test images, both random (analysis of variance of Dorfman, Berbaum and Metz "
    f"1992 with Hillis's degrees of freedom, 2007), alpha {ALPHA:g}, the two questions of a size by Holm's method"
)

Outcome = Literal["help", "hurt", "cannot be told apart"]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Balanced accuracy of one way to learn less that of another."""

    mean: float
    low: float
    """Of the 95 % confidence interval."""

    high: float
    p: float
    """How likely a difference this large would be if there were none, two-sided."""


def paired_difference(
    left: npt.NDArray[np.bool_], right: npt.NDArray[np.bool_], labels: npt.NDArray[np.int64]
) -> Difference:
    """How much better `left` is than `right`, bool (seeds, test images) each: which images a seed's classifier tells.

    Row `s` of both began with the same weights and real images, so the difference of the two is taken for each seed and
    test image, and each image weighed so that all classes count alike. Seeds and images are both a sample of those that
    might have been, so the difference is tested against the scatter of both: the analysis of variance of Dorfman,
    Berbaum and Metz (Investigative Radiology 27, 1992), which knows seeds as readers and images as cases, with the
    degrees of freedom of Hillis (Statistics in Medicine 26, 2007). A test over images alone would call any two
    classifiers different, and one over seeds alone would forget that the test images are few.

    Args:
        left: of at least two seeds and two images.
        right: the same seeds and images.
        labels: int64 (test images,).
    """
    num_seeds, num_images = left.shape
    counts = np.bincount(labels)
    weights = num_images / (np.count_nonzero(counts) * counts[labels])
    values = (left.astype(np.float64) - right.astype(np.float64)) * weights
    # Sums of squares of a two-way layout without repetition: seeds, images, and what is left.
    mean = float(values.mean())
    of_seeds, of_images = values.mean(axis=1) - mean, values.mean(axis=0) - mean
    rest = values - mean - of_seeds[:, None] - of_images[None, :]
    seeds_square = num_images * float(of_seeds @ of_seeds) / (num_seeds - 1)
    images_square = num_seeds * float(of_images @ of_images) / (num_images - 1)
    rest_square = float((rest**2).sum()) / ((num_seeds - 1) * (num_images - 1))
    scatter = seeds_square + max(images_square - rest_square, 0.0)
    error = math.sqrt(scatter / (num_seeds * num_images))
    if error == 0:
        return Difference(mean=mean, low=mean, high=mean, p=1.0 if mean == 0 else 0.0)
    # Where the seeds agree better than chance has it, the degrees are many; no more than the images have.
    degrees = num_images - 1.0
    if seeds_square > 0:
        degrees = min(degrees, (num_seeds - 1) * (scatter / seeds_square) ** 2)
    margin = float(stdtrit(degrees, 1 - ALPHA / 2)) * error
    p = 2 * float(stdtr(degrees, -abs(mean) / error))
    return Difference(mean=mean, low=mean - margin, high=mean + margin, p=p)


def holm(ps: Sequence[float]) -> list[float]:
    """Each p adjusted for there being several, so that the chance of any false alarm stays: Holm 1979."""
    adjusted = [0.0] * len(ps)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=lambda place: ps[place])):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[place]))
        adjusted[place] = highest
    return adjusted


def outcome(difference: Difference, adjusted_p: float) -> Outcome:
    """What a difference of with and without synthetic images says of them."""
    if adjusted_p >= ALPHA:
        return "cannot be told apart"
    return "help" if difference.mean > 0 else "hurt"
