from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ganserve.client import InvalidRequestError
from ganserve.client._requests import address_query, image_encoding, latents_query, model_selector
from ganserve.contract.tensors import unpack_latents
from ganserve.v1.generator_pb2 import ImageFormat, SampleQuery

DIGITS = model_selector("digits", None, "")
RAW = image_encoding("raw", None)


def ask(n: Any = 1, **changes: Any) -> SampleQuery:
    arguments = {"seed": 7, "first_index": 0, "labels": None, "truncation": None, "encoding": RAW}
    return address_query(DIGITS, n, **(arguments | changes))


def test_an_address_is_sent_as_given() -> None:
    query = ask(np.int64(3), seed=np.uint64(2**64 - 1), first_index=np.uint32(5), truncation=1.5, labels=2)
    assert (query.address.count, query.address.seed, query.address.first_index) == (3, 2**64 - 1, 5)
    assert query.address.truncation == 1.5
    assert query.labels.one.label == 2


def test_what_is_not_given_is_left_out() -> None:
    query = ask()
    assert not query.address.HasField("truncation")
    assert not query.HasField("labels")


def test_a_seed_that_is_not_given_is_drawn_here() -> None:
    drawn = {ask(seed=None).address.seed for _ in range(20)}
    assert len(drawn) == 20
    assert max(drawn) < 2**53


def test_without_n_all_indices_to_the_end_are_asked_for() -> None:
    assert ask(None, first_index=2**64 - 5).address.count == 5
    assert ask(None).address.count == 2**64 - 1


@pytest.mark.parametrize(
    ("changes", "says", "field"),
    [
        ({"n": 0}, "n is 0; it must be at least 1", "query.address.count"),
        ({"n": -3}, "n is -3", "query.address.count"),
        ({"n": 2.0}, "n is 2.0; give a whole number", "query.address.count"),
        ({"n": True}, "n is True; give a whole number", "query.address.count"),
        ({"n": "8"}, "n is '8'; give a whole number", "query.address.count"),
        ({"n": 2, "first_index": 2**64 - 1}, "n is 2; it must be at most 1", "query.address.count"),
        ({"seed": -1}, "seed is -1", "query.address.seed"),
        ({"seed": 2**64}, "seed is 18446744073709551616", "query.address.seed"),
        ({"seed": 1.5}, "seed is 1.5", "query.address.seed"),
        ({"first_index": -1}, "first_index is -1", "query.address.first_index"),
        ({"first_index": 2**64}, "first_index is", "query.address.first_index"),
        ({"truncation": 0}, "truncation is 0", "query.address.truncation"),
        ({"truncation": float("nan")}, "truncation is nan", "query.address.truncation"),
        ({"truncation": "x"}, "truncation is 'x'", "query.address.truncation"),
    ],
)
def test_numbers_that_cannot_be_are_refused(changes: dict[str, Any], says: str, field: str) -> None:
    with pytest.raises(InvalidRequestError, match=says) as caught:
        ask(**changes)
    assert caught.value.field == field


def test_a_model_has_to_be_named() -> None:
    with pytest.raises(InvalidRequestError, match="no model is named"):
        address_query(
            model_selector(None, None, ""), 1, seed=1, first_index=0, labels=None, truncation=None, encoding=RAW
        )


@pytest.mark.parametrize("version", [0, -1, 2**32, "1", 1.0, True])
def test_versions_count_from_one(version: Any) -> None:
    with pytest.raises(InvalidRequestError, match="version is"):
        model_selector("digits", version, "")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, np.uint8])
def test_latents_travel_as_float32(dtype: Any) -> None:
    rows = np.arange(6).reshape(2, 3).astype(dtype)
    query = latents_query(DIGITS, rows, labels=None, encoding=RAW)
    np.testing.assert_array_equal(unpack_latents(query.latents, 3), rows.astype(np.float32))


def test_latents_may_be_nested_lists() -> None:
    assert latents_query(DIGITS, [[0.5, 1.0]], labels=[1], encoding=RAW).latents.dim == 2


@pytest.mark.parametrize(
    ("latents", "says"),
    [
        (np.zeros(3), "shape"),
        (np.zeros((0, 3)), "shape"),
        (np.zeros((3, 0)), "shape"),
        (np.zeros((1, 2, 3)), "shape"),
        ([[1.0], [1.0, 2.0]], "no matrix"),
        ([["a"]], "dtype"),
        (np.zeros((1, 2), np.complex64), "dtype"),
        (np.array([[0.0, 0.0], [0.0, np.nan]]), "row 1"),
        (np.array([[np.inf]]), "row 0"),
        (np.array([[1e300]]), "too large"),
    ],
)
def test_latents_that_cannot_be_used_are_refused(latents: Any, says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says) as caught:
        latents_query(DIGITS, latents, labels=None, encoding=RAW)
    assert caught.value.field.startswith("query.latents")


@pytest.mark.parametrize("labels", ["balanced", "uniform", {0: 1.0}])
def test_explicit_latents_take_no_drawn_labels(labels: Any) -> None:
    with pytest.raises(InvalidRequestError, match="drawn from a seed"):
        latents_query(DIGITS, np.zeros((1, 3)), labels=labels, encoding=RAW)


def test_formats_are_named() -> None:
    assert image_encoding("png", None).format == ImageFormat.IMAGE_FORMAT_PNG
    assert image_encoding("webp", 80).quality == 80


@pytest.mark.parametrize(("format", "quality"), [("gif", None), ("raw", 90), ("png", 90), ("jpeg", 0), ("webp", 101)])
def test_forms_that_cannot_be_are_refused(format: str, quality: int | None) -> None:  # noqa: A002
    with pytest.raises(InvalidRequestError) as caught:
        image_encoding(format, quality)
    assert caught.value.field.startswith("query.encoding")
