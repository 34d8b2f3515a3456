from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganserve.contract.errors import InvalidRequestError, ServerError
from ganserve.contract.tensors import frame_outcomes, frame_reply, pack_latents, unpack_latents, unpack_pixels
from ganserve.v1.generator_pb2 import (
    ExplicitLatents,
    GenerateManyResponse,
    GenerateResponse,
    Outcome,
    Refusal,
    SampleBatch,
    StreamSamplesResponse,
)
from ganserve.v1.model_pb2 import ImageShape, ModelIdentity


@given(
    count=st.integers(1, 40),
    side=st.sampled_from([1, 8, 11, 128]),
    seed=st.none() | st.integers(0, 2**64 - 1),
    labels=st.lists(st.integers(0, 300), max_size=40),
)
@pytest.mark.parametrize("response_type", [GenerateResponse, StreamSamplesResponse])
def test_framed_replies_equal_protobufs_own_encoding(
    response_type: type[GenerateResponse | StreamSamplesResponse],
    count: int,
    side: int,
    seed: int | None,
    labels: list[int],
) -> None:
    pixels = np.arange(count * side * side, dtype=np.uint32).astype(np.uint8).reshape(count, side, side, 1)
    batch = SampleBatch(
        model=ModelIdentity(name="m", version=3, digest="d" * 64),
        count=count,
        image=ImageShape(height=side, width=side, channels=1),
        seed=seed,
        first_index=2**63,
        labels=labels,
    )
    framed = frame_reply(batch, pixels)
    batch.pixels = pixels.tobytes()
    assert framed == response_type(batch=batch).SerializeToString()
    np.testing.assert_array_equal(unpack_pixels(response_type.FromString(framed).batch), pixels)


@given(st.lists(st.integers(0, 300) | st.none(), max_size=12))
def test_framed_outcomes_equal_protobufs_own_encoding(sizes: list[int | None]) -> None:
    outcomes = [
        Outcome(refusal=Refusal(code=8, message="full"))
        if size is None
        else Outcome(response=GenerateResponse(batch=SampleBatch(count=1, pixels=bytes(size))))
        for size in sizes
    ]
    framed = frame_outcomes(
        [one.response.SerializeToString() if one.HasField("response") else one.refusal for one in outcomes]
    )
    assert framed == GenerateManyResponse(outcomes=outcomes).SerializeToString()


def test_fields_behind_the_pixels_keep_their_values() -> None:
    pixels = np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1)
    batch = SampleBatch(
        count=2,
        image=ImageShape(height=2, width=2, channels=1),
        labels=[1, 0],
        indices=[2**64 - 1, 5],
        class_names=["dog", "cat"],
    )
    framed = frame_reply(batch, pixels)
    batch.pixels = pixels.tobytes()
    assert GenerateResponse.FromString(framed) == GenerateResponse(batch=batch)


def test_pixels_of_another_size_than_their_shape_are_refused() -> None:
    batch = SampleBatch(count=2, image=ImageShape(height=2, width=2, channels=1), pixels=b"1234567")
    with pytest.raises(ServerError, match="7 bytes of pixels"):
        unpack_pixels(batch)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_latents_make_the_round_trip(dtype: type[np.floating]) -> None:
    latents = np.random.default_rng(0).standard_normal((3, 5)).astype(dtype)
    unpacked = unpack_latents(pack_latents(latents), 5)
    assert unpacked.dtype == np.float32
    np.testing.assert_array_equal(unpacked, latents.astype(np.float32))


@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4)])
def test_latents_that_are_no_matrix_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidRequestError, match="give a matrix"):
        pack_latents(np.zeros(shape))


@pytest.mark.parametrize(
    ("latents", "field", "message"),
    [
        (pack_latents(np.zeros((2, 4))), "query.latents.dim", "have 4 values a row, and this model takes 5"),
        (ExplicitLatents(dim=5), "query.latents.values", "0 bytes long"),
        (ExplicitLatents(dim=5, values=b"x" * 21), "query.latents.values", "21 bytes long, not one or more rows of 20"),
        (pack_latents(np.array([[0.0] * 5, [np.nan] * 5])), "query.latents.values", "row 1 holds a value"),
        (pack_latents(np.array([[np.inf] * 5])), "query.latents.values", "row 0 holds a value"),
    ],
)
def test_unusable_latents_are_refused(latents: ExplicitLatents, field: str, message: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        unpack_latents(latents, 5)
    assert message in str(caught.value)
    assert caught.value.field == field
