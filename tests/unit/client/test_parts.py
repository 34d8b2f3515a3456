from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganserve.client import InvalidRequestError
from ganserve.client._queries.parts import (
    generate_request,
    num_samples,
    part,
    parts,
    spans,
)
from ganserve.client._queries.requests import address_query, image_encoding, latents_query, model_selector
from ganserve.contract.labels import sample_labels
from ganserve.contract.tensors import unpack_latents
from ganserve.v1.generator_pb2 import SampleQuery

DIGITS = model_selector("digits", None, "")
RAW = image_encoding("raw", None)
CLASS_NAMES = ("a", "b", "c", "d")
LABELS = st.one_of(
    st.none(),
    st.just("balanced"),
    st.just("uniform"),
    st.just({0: 1.0, "c": 2.0}),
    st.integers(0, 3),
    st.lists(st.integers(0, 3), min_size=1, max_size=40),
)


def addressed(n: int, first_index: int = 0, labels: object = None) -> SampleQuery:
    return address_query(
        DIGITS,
        n,
        seed=7,
        first_index=first_index,
        labels=labels,  # type: ignore[arg-type]
        truncation=None,
        encoding=RAW,
    )


def labels_of(query: SampleQuery) -> list[int]:
    seed = query.address.seed if query.HasField("address") else None
    drawn: list[int] = sample_labels(
        query.labels, CLASS_NAMES, seed, query.address.first_index, num_samples(query)
    ).tolist()
    return drawn


@given(n=st.integers(1, 200), most=st.integers(0, 50))
def test_parts_cover_every_sample_once_and_in_order(n: int, most: int) -> None:
    covered = [i for start, count in spans(addressed(n), most) for i in range(start, start + count)]
    assert covered == list(range(n))
    assert all(1 <= count <= max(1, most) for _, count in spans(addressed(n), most))


@given(n=st.integers(1, 60), most=st.integers(1, 20), first_index=st.integers(0, 2**63), labels=LABELS)
def test_parts_of_an_address_get_the_labels_of_the_whole(n: int, most: int, first_index: int, labels: object) -> None:
    whole = addressed(n, first_index, labels)
    cuts = [cut for _, cut in parts(whole, most, "d")]
    assert [label for cut in cuts for label in labels_of(cut)] == labels_of(whole)
    assert all(len(cut.labels.list.classes) <= max(most, len(CLASS_NAMES) * 10) for cut in cuts)


@given(n=st.integers(1, 60), most=st.integers(1, 20), labels=st.lists(st.integers(0, 3), min_size=1, max_size=80))
def test_parts_of_latents_get_the_rows_and_labels_of_the_whole(n: int, most: int, labels: list[int]) -> None:
    rows = np.arange(n * 3, dtype=np.float32).reshape(n, 3)
    whole = latents_query(DIGITS, rows, labels=labels, encoding=RAW)
    cuts = [cut for _, cut in parts(whole, most, "d")]
    assert [label for cut in cuts for label in labels_of(cut)] == labels_of(whole)
    np.testing.assert_array_equal(np.concatenate([unpack_latents(cut.latents, 3) for cut in cuts]), rows)


def test_all_parts_are_for_one_model() -> None:
    assert [cut.model.digest for _, cut in parts(addressed(25), 10, "abc")] == ["abc"] * 3


def test_a_part_keeps_seed_truncation_spread_and_form() -> None:
    jpeg = image_encoding("jpeg", 70)
    whole = address_query(DIGITS, 9, seed=3, first_index=4, labels=None, truncation=0.5, spread=1.5, encoding=jpeg)
    cut = part(whole, 2, 3)
    assert (cut.address.seed, cut.address.first_index, cut.address.count) == (3, 6, 3)
    assert (cut.address.truncation, cut.address.spread, cut.encoding.quality) == (0.5, 1.5, 70)


def test_wide_latents_are_cut_by_bytes() -> None:
    whole = latents_query(DIGITS, np.zeros((60, 65_536), np.float32), labels=None, encoding=RAW)
    assert list(spans(whole, 1000)) == [(start, 12) for start in range(0, 60, 12)]
    assert generate_request(next(parts(whole, 1000, "d"))[1]).ByteSize() < 4 * 2**20


def test_a_long_list_does_not_travel_with_every_part() -> None:
    whole = addressed(50_000, labels=np.zeros(50_000, np.int64))
    assert generate_request(part(whole, 500, 100)).ByteSize() < 2_000


def test_a_request_that_no_server_takes_is_refused() -> None:
    whole = addressed(100, labels=["x" * 50_000] * 100)
    with pytest.raises(InvalidRequestError, match="shorter list"):
        generate_request(whole)


def test_no_part_fills_the_queue_of_a_server() -> None:
    assert [count for _, count in spans(addressed(2500), 1_000_000)] == [1024, 1024, 452]
