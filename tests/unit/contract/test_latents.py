"""The specification's golden values, and what they imply."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.latents import (
    IndexList,
    IndexRange,
    central_probability,
    draw_latents,
    draw_words,
    inverse_normal_cdf,
    sample_latents,
    uniform_words_to_q,
)

SEEDS = st.integers(0, 2**64 - 1)


def test_the_philox_known_answer() -> None:
    assert [f"{word:016x}" for word in draw_words([IndexRange(0, 0, 1)], 0, 4)[0]] == [
        "16554d9eca36314c",
        "db20fe9d672d0fdc",
        "d7e772cee186176b",
        "7e68b68aec7ba23b",
    ]


def test_the_golden_latents() -> None:
    latents = sample_latents(seed=42, first_index=0, count=8, dim=128)
    digest = hashlib.sha256(latents.astype("<f4").tobytes()).hexdigest()
    assert digest == "bafd1e45c3d59ab96297503fb59019663adbb27de1a313cda73bc0df08136b8d"
    np.testing.assert_array_equal(
        latents[0, :4], np.array([0.19699129, 0.78142464, 0.54979330, 0.10180998], np.float32)
    )
    np.testing.assert_array_equal(latents[5, :2], np.array([-0.37680542, -0.30642363], np.float32))
    np.testing.assert_array_equal(sample_latents(0, 0, 1, 100)[0, :2], np.array([0.61749613, -1.37588382], np.float32))


def test_the_golden_truncated_latents() -> None:
    latents = sample_latents(seed=42, first_index=0, count=8, dim=128, truncation=1.5)
    digest = hashlib.sha256(latents.astype("<f4").tobytes()).hexdigest()
    assert digest == "199a43f65f5ff5142731d0355556ede860bc6f08ebfdc4d2c56da00a0e59f1dd"


@given(st.floats(1e-6, 12))
def test_the_central_probability_is_the_error_function(z: float) -> None:
    assert central_probability(z) == pytest.approx(math.erf(z / math.sqrt(2)), rel=4e-16)


@given(SEEDS, st.integers(0, 2**64 - 40), st.integers(1, 32), st.integers(1, 37), st.data())
def test_a_latent_does_not_depend_on_the_range_it_is_drawn_in(
    seed: int, first: int, count: int, dim: int, data: st.DataObject
) -> None:
    offset = data.draw(st.integers(0, count - 1))
    together = sample_latents(seed, first, count, dim)
    alone = sample_latents(seed, first + offset, 1, dim)
    np.testing.assert_array_equal(together[offset], alone[0])


EDGES = st.sampled_from([0, 1, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1])


@given(SEEDS, st.lists(st.integers(0, 12) | EDGES, min_size=1, max_size=20), st.integers(1, 37), st.data())
def test_indices_in_any_order_give_the_latents_of_each(
    seed: int, values: list[int], dim: int, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(values) - 1))
    indices = IndexList(seed, np.array(values, np.uint64))
    ranges = indices.part(start, len(values) - start)
    together = draw_latents(ranges, dim, [None] * len(ranges))
    alone = [sample_latents(seed, index, 1, dim)[0] for index in values[start:]]
    np.testing.assert_array_equal(together, alone)


def test_indices_that_follow_one_another_are_one_draw() -> None:
    values = np.array([5, 6, 7, 7, 2**64 - 1, 0, 1, 9], np.uint64)
    assert IndexList(3, values).part(1, 7) == [(3, 6, 2), (3, 7, 1), (3, 2**64 - 1, 1), (3, 0, 2), (3, 9, 1)]


def test_seeds_are_taken_modulo_two_to_the_64() -> None:
    np.testing.assert_array_equal(sample_latents(2**64 + 5, 0, 2, 9), sample_latents(5, 0, 2, 9))


@given(SEEDS, st.floats(0.01, 8))
def test_truncation_bounds_every_value(seed: int, truncation: float) -> None:
    assert np.abs(sample_latents(seed, 0, 16, 33, truncation)).max() <= np.float32(truncation)


def test_a_wide_truncation_changes_nothing() -> None:
    np.testing.assert_array_equal(sample_latents(3, 0, 4, 50, truncation=40.0), sample_latents(3, 0, 4, 50))


@pytest.mark.parametrize("truncation", [0.0, -1.0, math.nan, math.inf])
def test_an_impossible_truncation_is_refused(truncation: float) -> None:
    with pytest.raises(InvalidRequestError, match="finite number above 0") as caught:
        sample_latents(0, 0, 1, 4, truncation)
    assert caught.value.field == "query.address.truncation"


def test_uniforms_stay_inside_their_open_interval() -> None:
    q = uniform_words_to_q(np.array([0, 2**64 - 1], np.uint64))
    assert q.tolist() == [-0.5 + 2.0**-53, 0.5 - 2.0**-53]


def test_quantiles_agree_with_the_error_function() -> None:
    q = np.concatenate([np.linspace(-0.499999, 0.499999, 2001), [-0.5 + 2.0**-53, 0.5 - 2.0**-53]])
    tail_probability = np.array([0.5 * math.erfc(abs(z) / math.sqrt(2)) for z in inverse_normal_cdf(q)])
    np.testing.assert_allclose(tail_probability, 0.5 - np.abs(q), rtol=1e-13)


def test_latents_are_standard_normal() -> None:
    values = sample_latents(11, 0, 2000, 128)
    assert abs(float(values.mean())) < 0.01
    assert abs(float(values.std()) - 1) < 0.01
