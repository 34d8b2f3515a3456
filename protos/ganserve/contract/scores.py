"""Scores: numbers that a scorer gives images. Which of them counts, what it means, and which candidate it chooses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.latents import NUM_INDICES
from ganserve.contract.text import counted
from ganserve.v1.model_pb2 import ModelCard

_TAIL: Final = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
PERCENTS: Final = (*_TAIL, *map(float, range(1, 100)), *(100 - percent for percent in reversed(_TAIL)))
"""Where a card has the quantiles of a score. The tails are fine, since what is unusual lies there."""

OWN_CLASS: Final = "own_class"
"""Name of the scores of samples whose classes differ, each of its own."""

LEAST_CANDIDATES: Final = 2
MOST_CANDIDATES: Final = 64


def quantiles_of(scores: ArrayLike) -> list[float]:
    """The quantiles at `PERCENTS` of the scores (N,) of real images; none of no scores."""
    values = np.asarray(scores, np.float64)
    return np.percentile(values, PERCENTS).tolist() if values.size else []


def percentiles(scores: NDArray[np.float32], quantiles: Sequence[float]) -> NDArray[np.float64]:
    """How many per cent of the real images have a smaller score than each of `scores`, by linear interpolation."""
    descending = -np.array(quantiles[::-1])  # of real images with equal scores, the lower end is wanted
    return np.interp(-scores.astype(np.float64), descending, PERCENTS[::-1])


def knows_classes(card: ModelCard) -> bool:
    """Whether a scorer has a number for each class."""
    return any(score.of_class for score in card.scores)


def column_of(card: ModelCard, class_name: str) -> int | None:
    """Which of a scorer's numbers is of a class; None where none is."""
    places = (place for place, score in enumerate(card.scores) if score.of_class and score.name == class_name)
    return next(places, None)


def check_candidates(candidates: int) -> None:
    """Raises InvalidRequestError where a sample cannot be the best of so many."""
    if not LEAST_CANDIDATES <= candidates <= MOST_CANDIDATES:
        raise InvalidRequestError(
            f"best_of is {candidates}; give {LEAST_CANDIDATES} to {MOST_CANDIDATES} candidates a sample, or leave it "
            "out",
            field="query.best_of.candidates",
        )


def candidate_indices(indices: NDArray[np.uint64], candidates: int) -> NDArray[np.uint64]:
    """The indices of the candidates of samples, (N · candidates,): n·j … n·j + n − 1 of sample j.

    Raises:
        InvalidRequestError: they go beyond the last index.
    """
    last = NUM_INDICES // candidates - 1
    if indices.size and int(indices.max()) > last:
        raise InvalidRequestError(
            f"the best of {counted(candidates, 'candidate')} has no index above {last}, and {int(indices.max())} is "
            "asked for",
            field="query.address",
        )
    firsts = np.multiply(indices, candidates, dtype=np.uint64)
    return np.add.outer(firsts, np.arange(candidates, dtype=np.uint64)).reshape(-1)


def choose(scores: NDArray[np.float32], candidates: int) -> NDArray[np.int64]:
    """Positions (N,) among all candidates (N · candidates,) of those with the highest score, the first of equal ones.

    What is no number is lower than any.
    """
    comparable = np.where(np.isnan(scores), -np.inf, scores).reshape(-1, candidates)
    best: NDArray[np.int64] = comparable.argmax(axis=1) + np.arange(len(comparable)) * candidates
    return best
