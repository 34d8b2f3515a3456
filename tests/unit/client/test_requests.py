from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict

from ganserve.client import InvalidRequestError
from ganserve.client._queries.requests import address_query, image_encoding, latents_query, model_selector
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
    assert ask(spread=np.float32(1.5)).address.spread == 1.5
    assert query.labels.one.label == 2


def test_what_is_not_given_is_left_out() -> None:
    query = ask()
    assert not query.address.HasField("truncation")
    assert not query.address.HasField("spread")
    assert not query.HasField("labels")


def test_a_seed_that_is_not_given_is_drawn_here() -> None:
    drawn = {ask(seed=None).address.seed for _ in range(20)}
    assert len(drawn) == 20
    assert max(drawn) < 2**53


def test_without_n_all_indices_to_the_end_are_asked_for() -> None:
    assert ask(None, first_index=2**64 - 5, endless=True).address.count == 5
    assert ask(None, endless=True).address.count == 2**64 - 1


def test_counts_say_how_many_and_which() -> None:
    query = ask(None, counts={"dog": np.int64(1100), 2: 1400, "emu": 0})
    assert query.address.count == 2500
    assert MessageToDict(query.labels) == {
        "blocks": {
            "blocks": [
                {"classReference": {"name": "dog"}, "count": "1100"},
                {"classReference": {"label": "2"}, "count": "1400"},
                {"classReference": {"name": "emu"}},
            ]
        }
    }
    assert ask(None, counts={"dog": 7}, endless=True).address.count == 7
    assert ask(7, counts={"dog": 7}).address.count == 7


@pytest.mark.parametrize(
    "indices", [[3, 2**64 - 1, 3], (3, 2**64 - 1, 3), np.array([3, 2**64 - 1, 3], np.uint64)], ids=type
)
def test_indices_are_sent_in_their_order(indices: Any) -> None:
    address = ask(None, indices=indices).address
    assert list(address.indices) == [3, 2**64 - 1, 3]
    assert (address.count, address.first_index) == (0, 0)
    assert list(ask(None, indices=range(5, 0, -2)).address.indices) == [5, 3, 1]
    assert ask(None, indices=[8], counts={"dog": 7}).labels.HasField("blocks")


def test_a_range_of_indices_is_sent_as_one() -> None:
    address = ask(None, indices=range(2**64 - 7, 2**64)).address
    assert (address.first_index, address.count, list(address.indices)) == (2**64 - 7, 7, [])
    with pytest.raises(
        InvalidRequestError, match="the last of the indices is 18446744073709551616; it must be at most"
    ):
        ask(None, indices=range(5, 2**64 + 1))
    for impossible in (range(3, 3), range(-1, 3)):
        with pytest.raises(InvalidRequestError, match="ind"):
            ask(None, indices=impossible)


@pytest.mark.parametrize(
    ("changes", "says", "field"),
    [
        ({"n": 0}, "n is 0; it must be at least 1", "query.address.count"),
        ({"n": -3}, "n is -3", "query.address.count"),
        ({"n": 2.0}, "n is 2.0; give a whole number", "query.address.count"),
        ({"n": True}, "n is True; give a whole number", "query.address.count"),
        ({"n": "8"}, "n is '8'; give a whole number", "query.address.count"),
        (
            {"n": 2, "first_index": 2**64 - 1},
            "n is 2 from first_index 18446744073709551615, .* ask for at most 1,",
            "query.address.count",
        ),
        ({"n": None}, "give n, the number of samples, or counts, or indices", "query.address.count"),
        ({"indices": [1]}, "leave n and first_index out", "query.address.indices"),
        ({"n": None, "indices": [1], "first_index": 1}, "leave n and first_index out", "query.address.indices"),
        ({"n": None, "indices": []}, "give one or more in a list", "query.address.indices"),
        ({"n": None, "indices": 3}, "give one or more in a list", "query.address.indices"),
        ({"n": None, "indices": "12"}, "give one or more in a list", "query.address.indices"),
        ({"n": None, "indices": np.array(3)}, "give one or more in a list", "query.address.indices"),
        ({"n": None, "indices": [4, -1]}, "the index at position 1 is -1", "query.address.indices[1]"),
        ({"n": None, "indices": [2**64]}, "the index at position 0 is", "query.address.indices[0]"),
        ({"n": None, "indices": [1.5]}, "1.5; give a whole number", "query.address.indices[0]"),
        ({"n": None, "indices": np.zeros(2)}, "0.0; give a whole number", "query.address.indices[0]"),
        ({"n": None, "indices": np.zeros((2, 2), int)}, "give a whole number", "query.address.indices[0]"),
        ({"n": None, "indices": [True]}, "give a whole number", "query.address.indices[0]"),
        ({"n": None, "counts": {}}, "the counts add up to 0", "query.labels.blocks"),
        ({"n": None, "counts": {"dog": 0}}, "the counts add up to 0", "query.labels.blocks"),
        ({"n": None, "counts": {1: 2**63, 2: 2**63}}, "add up to 18446744073709551616", "query.labels.blocks"),
        ({"n": None, "counts": {"dog": -1}}, "the count of class 'dog' is -1", "query.labels.blocks.blocks[0].count"),
        ({"n": None, "counts": {"dog": 0.5}}, "give a whole number", "query.labels.blocks.blocks[0].count"),
        ({"n": None, "counts": ["dog"]}, "give a mapping", "query.labels.blocks"),
        ({"counts": {"dog": 1}, "labels": "dog"}, "labels and counts both", "query.labels"),
        ({"seed": -1}, "seed is -1", "query.address.seed"),
        ({"seed": 2**64}, "seed is 18446744073709551616", "query.address.seed"),
        ({"seed": 1.5}, "seed is 1.5", "query.address.seed"),
        ({"first_index": -1}, "first_index is -1", "query.address.first_index"),
        ({"first_index": 2**64}, "first_index is", "query.address.first_index"),
        ({"truncation": 0}, "truncation is 0", "query.address.truncation"),
        ({"truncation": float("nan")}, "truncation is nan", "query.address.truncation"),
        ({"truncation": "x"}, "truncation is 'x'", "query.address.truncation"),
        ({"spread": 0}, "spread is 0", "query.address.spread"),
        ({"spread": 1e21}, "from 1e-20 to 1e\\+20", "query.address.spread"),
        ({"spread": float("inf")}, "spread is inf", "query.address.spread"),
        ({"spread": True}, "spread is True", "query.address.spread"),
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


def test_a_model_may_be_named_with_its_version() -> None:
    selector = model_selector("digits:12", None, "")
    assert (selector.name, selector.version) == ("digits", 12)
    assert model_selector("digits:12", 12, "").version == 12


def test_a_model_may_be_named_with_an_alias() -> None:
    selector = model_selector("digits:stable", None, "")
    assert (selector.name, selector.alias, selector.HasField("version")) == ("digits", "stable", False)
    with pytest.raises(InvalidRequestError, match="model 'digits:stable' and version 2 differ"):
        model_selector("digits:stable", 2, "")


@pytest.mark.parametrize(
    ("model", "version", "says"),
    [
        ("digits:2", 3, "differ"),
        ("digits:New", None, "such as digits:1"),
        ("digits:", None, "such as digits:1"),
        ("digits:0", None, "version is 0"),
    ],
)
def test_a_version_in_a_name_has_to_be_one(model: str, version: int | None, says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        model_selector(model, version, "")


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


@pytest.mark.parametrize("digest", ["xx", "ab", "AB" * 32, "ab" * 33, f" {'ab' * 32}"])
def test_a_digest_that_is_none_is_refused(digest: str) -> None:
    assert model_selector("digits", None, "ab" * 32).digest == "ab" * 32
    with pytest.raises(InvalidRequestError, match="is no SHA-256; give all 64 digits") as caught:
        model_selector("digits", None, digest)
    assert caught.value.field == "query.model.digest"
