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


@pytest.mark.parametrize(
    ("truncation", "digest"),
    [
        (None, "227b384c93465965d1bcbaac7ff04e53ca80a65c7fb9c0731517a39741ec1bfa"),
        (1.5, "abdc29c749dec3bd894e629f60325e0451274d5c87dd0e719bd4b4cdde4fe4f3"),
    ],
)
def test_the_golden_latents_of_a_spread(truncation: float | None, digest: str) -> None:
    latents = sample_latents(seed=42, first_index=0, count=8, dim=128, truncation=truncation, spread=1.3)
    assert hashlib.sha256(latents.astype("<f4").tobytes()).hexdigest() == digest
    if truncation is None:
        first = np.array([0.25608867, 1.01585200, 0.71473134, 0.13235298], np.float32)
        np.testing.assert_array_equal(latents[0, :4], first)


@given(SEEDS, st.floats(1e-6, 1e6))
def test_a_spread_multiplies_the_float64_value_before_it_is_rounded(seed: int, spread: float) -> None:
    z = inverse_normal_cdf(uniform_words_to_q(draw_words([IndexRange(seed, 3, 2)], int.from_bytes(b"gan-lat1"), 9)))
    np.testing.assert_array_equal(sample_latents(seed, 3, 2, 9, spread=spread), (z * spread).astype(np.float32))


def test_a_spread_of_one_changes_nothing() -> None:
    np.testing.assert_array_equal(sample_latents(3, 0, 4, 50, spread=1.0), sample_latents(3, 0, 4, 50))


@given(SEEDS, st.floats(0.01, 8), st.floats(0.01, 100))
def test_latents_are_truncated_before_they_are_spread(seed: int, truncation: float, spread: float) -> None:
    values = sample_latents(seed, 0, 16, 33, truncation, spread)
    assert np.abs(values).max() <= np.float32(truncation * spread)


def test_ranges_with_and_without_a_spread_are_drawn_together() -> None:
    ranges = [IndexRange(1, 0, 2), IndexRange(2, 5, 3), IndexRange(1, 0, 1)]
    truncations, spreads = [None, 1.5, None], [None, 1.25, 2.0]
    together = draw_latents(ranges, 9, truncations, spreads)
    alone = [
        sample_latents(*one, 9, truncation, spread)
        for one, truncation, spread in zip(ranges, truncations, spreads, strict=True)
    ]
    np.testing.assert_array_equal(together, np.concatenate(alone))


@pytest.mark.parametrize("spread", [0.0, -1.0, math.nan, math.inf, 1.1e20, 0.9e-20])
def test_an_impossible_spread_is_refused(spread: float) -> None:
    with pytest.raises(InvalidRequestError, match=r"above 0, from 1e-20 to 1e\+20") as caught:
        sample_latents(0, 0, 1, 4, spread=spread)
    assert caught.value.field == "query.address.spread"


@pytest.mark.parametrize("spread", [1e-20, 1e20])
def test_the_widest_and_the_narrowest_spread_give_normal_numbers(spread: float) -> None:
    words = np.array([0, 2**63 - 1, 2**63, 2**64 - 1], np.uint64)
    latents = np.abs((inverse_normal_cdf(uniform_words_to_q(words)) * spread).astype(np.float32))
    limits = np.finfo(np.float32)
    assert ((latents >= limits.tiny) & (latents <= limits.max)).all()


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
    together = draw_latents(ranges, dim, [None] * len(ranges), [None] * len(ranges))
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
