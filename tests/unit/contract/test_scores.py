"""Which of a scorer's numbers counts, what it means, and which candidate it chooses."""

from __future__ import annotations

import numpy as np
import pytest

from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.scores import (
    PERCENTS,
    candidate_indices,
    check_candidates,
    choose,
    column_of,
    knows_classes,
    percentiles,
    quantiles_of,
)

from ...scorers import scorer_card


def u64(*values: int) -> np.ndarray:
    return np.array(values, np.uint64)


def test_the_places_of_quantiles_are_mirrored_and_fine_at_both_ends() -> None:
    assert len(PERCENTS) == 113
    assert list(PERCENTS) == sorted(PERCENTS)
    assert PERCENTS[:8] == (0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
    assert np.allclose(PERCENTS, [100 - percent for percent in reversed(PERCENTS)])


def test_quantiles_are_those_of_numpy_and_none_of_no_scores() -> None:
    scores = np.random.default_rng(0).standard_normal(999).astype(np.float32)
    assert quantiles_of(scores) == np.percentile(scores.astype(np.float64), PERCENTS).tolist()
    assert quantiles_of([3.0]) == [3.0] * len(PERCENTS)
    assert quantiles_of(scores[:0]) == []


def test_percentiles_lie_between_quantiles_and_end_at_0_and_100() -> None:
    quantiles = quantiles_of(np.arange(101))
    scores = np.array([-5, 0, 0.005, 12.5, 50, 99.995, 100, 1e9, np.inf, -np.inf], np.float32)
    assert percentiles(scores, quantiles) == pytest.approx([0, 0, 0.005, 12.5, 50, 99.995, 100, 100, 100, 0], abs=1e-5)


def test_of_images_with_equal_scores_none_counts_as_smaller() -> None:
    quantiles = quantiles_of([0.0] * 30 + [1.0] * 40 + [2.0] * 30)
    told = percentiles(np.array([0.0, 1.0, 2.0], np.float32), quantiles)
    assert told == pytest.approx([0, 30, 70], abs=1)


def test_a_score_is_found_by_the_name_of_its_class_alone() -> None:
    card = scorer_card(["cat", "dog"])
    assert [column_of(card, name) for name in ("cat", "dog", "emu", "realness")] == [1, 2, None, None]
    assert knows_classes(card)
    assert not knows_classes(scorer_card([]))


@pytest.mark.parametrize("candidates", [2, 64])
def test_so_many_candidates_are_taken(candidates: int) -> None:
    check_candidates(candidates)


@pytest.mark.parametrize("candidates", [0, 1, 65, 2**32 - 1])
def test_too_few_and_too_many_candidates_are_refused(candidates: int) -> None:
    with pytest.raises(InvalidRequestError, match=f"best_of is {candidates}; give 2 to 64") as caught:
        check_candidates(candidates)
    assert caught.value.field == "query.best_of.candidates"


def test_every_sample_has_indices_of_its_own() -> None:
    assert candidate_indices(u64(0, 5, 2), 3).tolist() == [0, 1, 2, 15, 16, 17, 6, 7, 8]
    assert candidate_indices(u64(), 3).tolist() == []


@pytest.mark.parametrize("candidates", [2, 3, 64])
def test_candidates_end_where_indices_do(candidates: int) -> None:
    last = 2**64 // candidates - 1
    indices = candidate_indices(u64(0, last), candidates).tolist()
    assert indices[-1] == candidates * (last + 1) - 1 < 2**64
    assert indices == [*range(candidates), *range(candidates * last, candidates * last + candidates)]
    with pytest.raises(InvalidRequestError, match=f"has no index above {last}, and {last + 1} is asked") as caught:
        candidate_indices(u64(0, last + 1), candidates)
    assert caught.value.field == "query.address"
    with pytest.raises(InvalidRequestError, match=f"and {2**64 - 1} is asked"):
        candidate_indices(u64(2**64 - 1), candidates)


@pytest.mark.parametrize(
    ("scores", "chosen"),
    [
        ([1, 2, 3, 4, 3, 2], [2, 3]),
        ([7, 7, 7, 0, 0, 0], [0, 3]),
        ([1, 5, 5, -3, -1, -1], [1, 4]),
        ([np.nan, -9, np.nan, np.nan, np.nan, 1], [1, 5]),
        ([np.nan, np.nan, np.nan, -np.inf, np.nan, -np.inf], [0, 3]),
        ([np.inf, 1, 2, 1, np.inf, np.inf], [0, 4]),
    ],
)
def test_the_highest_is_chosen_and_of_equal_ones_the_first(scores: list[float], chosen: list[int]) -> None:
    assert choose(np.array(scores, np.float32), 3).tolist() == chosen


def test_nothing_is_chosen_of_nothing() -> None:
    assert choose(np.empty(0, np.float32), 4).tolist() == []
