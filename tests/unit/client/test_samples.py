from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganserve.client import ArtifactError, Samples, ServerError
from ganserve.client._replies import whole_reply
from ganserve.contract.images import encode
from ganserve.v1.generator_pb2 import ImageEncoding, ImageFormat, SampleAddress, SampleBatch, SampleQuery
from ganserve.v1.model_pb2 import ImageShape, ModelIdentity

PIXELS = np.arange(3 * 4 * 5 * 3, dtype=np.uint8).reshape(3, 4, 5, 3)


def batch(**changes: Any) -> SampleBatch:
    content: dict[str, Any] = {
        "model": ModelIdentity(name="cats", version=3, digest="0123456789abcdef"),
        "count": 3,
        "image": ImageShape(height=4, width=5, channels=3),
        "seed": 7,
        "first_index": 10,
        "labels": [2, 0, 1],
        "format": ImageFormat.IMAGE_FORMAT_RAW,
        "pixels": PIXELS.tobytes(),
    }
    return SampleBatch(**(content | changes))


def png_batch() -> SampleBatch:
    encoding = ImageEncoding(format=ImageFormat.IMAGE_FORMAT_PNG)
    return batch(format=encoding.format, pixels=b"", files=[encode(image, encoding) for image in PIXELS])


@pytest.mark.parametrize("reply", [batch(), png_batch()], ids=["raw", "png"])
def test_the_images_of_a_reply(reply: SampleBatch) -> None:
    samples = Samples.from_batch(reply)
    np.testing.assert_array_equal(samples.numpy(), PIXELS)
    np.testing.assert_array_equal(samples[1], PIXELS[1])
    np.testing.assert_array_equal(list(samples), list(PIXELS))
    assert len(samples) == 3
    assert [picture.mode for picture in samples.pil()] == ["RGB"] * 3
    np.testing.assert_array_equal(np.asarray(samples.pil()[2]), PIXELS[2])


def test_the_address_of_a_reply() -> None:
    samples = Samples.from_batch(batch())
    assert samples.indices.dtype == np.uint64
    assert samples.indices.tolist() == [10, 11, 12]
    assert samples.labels is not None
    assert samples.labels.tolist() == [2, 0, 1]
    assert repr(samples) == "<Samples 10–12 of seed 7, 4×5×3, by cats:3@0123456789ab>"


def test_the_highest_indices_are_exact() -> None:
    assert Samples.from_batch(batch(first_index=2**64 - 3)).indices.tolist() == [2**64 - 3, 2**64 - 2, 2**64 - 1]


def test_arrays_are_the_readers_to_change() -> None:
    samples = Samples.from_batch(batch())
    assert samples.numpy().flags.writeable
    assert samples.numpy() is samples.numpy()


def test_an_unconditional_generator_has_no_labels() -> None:
    assert Samples.from_batch(batch(labels=[])).labels is None


def test_explicit_latents_have_no_seed() -> None:
    reply = batch()
    reply.ClearField("seed")
    assert Samples.from_batch(reply).seed is None


@pytest.mark.parametrize("reply", [batch(), png_batch()], ids=["raw", "png"])
def test_parts_join_and_come_apart(reply: SampleBatch) -> None:
    whole = Samples.from_batch(reply)
    parts = [whole.between(0, 1), whole.between(1, 3)]
    joined = Samples.join(parts)
    assert [part.indices.tolist() for part in parts] == [[10], [11, 12]]
    np.testing.assert_array_equal(joined.numpy(), PIXELS)
    assert joined.labels is not None
    assert joined.labels.tolist() == [2, 0, 1]
    assert joined.indices.tolist() == [10, 11, 12]


def test_a_notebook_shows_a_grid() -> None:
    with Image.open(io.BytesIO(Samples.from_batch(batch())._repr_png_())) as picture:
        assert picture.size == ((2 * 5 + 2) * 10, (2 * 4 + 2) * 10)
    assert Samples.from_batch(batch()).grid(columns=3).size == ((3 * 5 + 4) * 10, 4 * 10)


@pytest.mark.parametrize(
    "changes",
    [{"pixels": b"123"}, {"labels": [1]}, {"count": 4}, {"format": ImageFormat.IMAGE_FORMAT_PNG, "files": [b""]}],
)
def test_replies_whose_parts_do_not_fit_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ServerError, match="the reply holds"):
        Samples.from_batch(batch(**changes))


def test_a_torn_file_is_no_image() -> None:
    reply = png_batch()
    reply.files[0] = reply.files[0][:40]
    with pytest.raises(ArtifactError, match="not a readable image"):
        Samples.from_batch(reply).numpy()


@pytest.mark.parametrize(("first_index", "count"), [(9, 3), (10, 4)])
def test_replies_to_another_question_are_refused(first_index: int, count: int) -> None:
    query = SampleQuery(address=SampleAddress(seed=7, first_index=first_index, count=count))
    with pytest.raises(ServerError, match="asked for"):
        whole_reply(query, batch())
