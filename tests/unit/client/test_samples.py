from __future__ import annotations

import io
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganserve.client import ArtifactError, ConfigError, Samples, ServerError
from ganserve.client._samples.captions import caption
from ganserve.client._samples.replies import whole_reply
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
        "class_names": ["emu", "cat", "dog"],
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


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, "seed 7, indices 10–12, 4×5×3, classes 'emu', 'cat', 'dog'"),
        ({"class_names": ["dog"] * 3}, "seed 7, indices 10–12, 4×5×3, class 'dog'"),
        ({"class_names": []}, "seed 7, indices 10–12, 4×5×3, classes 2, 0, 1"),
        ({"labels": [], "class_names": []}, "seed 7, indices 10–12, 4×5×3"),
        ({"indices": [5, 3, 5]}, "seed 7, indices 5, 3, …, 4×5×3, classes 'emu', 'cat', 'dog'"),
    ],
)
def test_samples_say_what_they_are(changes: dict[str, Any], shown: str) -> None:
    assert repr(Samples.from_batch(batch(**changes))) == f"<3 samples of cats:3@0123456789ab: {shown}>"


def test_one_sample_and_explicit_latents_say_so() -> None:
    one = repr(Samples.from_batch(batch()).between(1, 2))
    assert one == "<1 sample of cats:3@0123456789ab: seed 7, index 11, 4×5×3, class 'cat'>"
    reply = batch(labels=[], class_names=[])
    reply.ClearField("seed")
    assert repr(Samples.from_batch(reply)) == "<3 samples of cats:3@0123456789ab: explicit latents, 4×5×3>"


def test_many_classes_are_counted() -> None:
    samples = Samples.join([Samples.from_batch(batch(class_names=[f"{i}{j}" for j in range(3)])) for i in range(3)])
    assert "9 classes" in repr(samples)


def test_class_names_pick_images() -> None:
    samples = Samples.from_batch(batch())
    assert samples.class_names is not None
    assert samples.class_names.tolist() == ["emu", "cat", "dog"]
    np.testing.assert_array_equal(samples[samples.class_names == "dog"], PIXELS[2:])


def test_scattered_indices_come_as_they_were_asked_for() -> None:
    samples = Samples.from_batch(batch(indices=[2**64 - 1, 3, 3], first_index=2**64 - 1))
    assert samples.indices.tolist() == [2**64 - 1, 3, 3]
    assert samples.first_index == 2**64 - 1
    assert Samples.join([samples.between(2, 3), samples.between(0, 2)]).indices.tolist() == [3, 2**64 - 1, 3]


def test_the_highest_indices_are_exact() -> None:
    assert Samples.from_batch(batch(first_index=2**64 - 3)).indices.tolist() == [2**64 - 3, 2**64 - 2, 2**64 - 1]


def test_arrays_are_the_readers_to_change() -> None:
    samples = Samples.from_batch(batch())
    assert samples.numpy().flags.writeable
    assert samples.numpy() is samples.numpy()


def test_an_unconditional_generator_has_no_labels() -> None:
    samples = Samples.from_batch(batch(labels=[], class_names=[]))
    assert samples.labels is None
    assert samples.class_names is None
    with pytest.raises(ConfigError, match="unconditional"):
        samples.grid(captions=True)


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
    assert joined.class_names is not None
    assert joined.class_names.tolist() == ["emu", "cat", "dog"]
    assert joined.indices.tolist() == [10, 11, 12]


def test_a_notebook_shows_a_grid() -> None:
    with Image.open(io.BytesIO(Samples.from_batch(batch())._repr_png_())) as picture:
        assert picture.size == ((2 * 5 + 2) * 10, (2 * 4 + 2) * 10)
    assert Samples.from_batch(batch()).grid(columns=3).size == ((3 * 5 + 4) * 10, 4 * 10)


def test_captions_stand_below_the_samples() -> None:
    samples = Samples.from_batch(batch())
    plain = np.asarray(samples.between(0, 1).grid())
    captioned = np.asarray(samples.between(0, 1).grid(captions=True))
    np.testing.assert_array_equal(captioned[: len(plain)], plain)
    strip = captioned[len(plain) :]
    assert strip.max() > 200
    assert len(strip) < 20
    other = np.asarray(samples.between(1, 2).grid(captions=True))[len(plain) :]
    assert not np.array_equal(strip, other)


@pytest.mark.parametrize("name", ["", "猫", "line\nbreak"])
def test_a_name_that_cannot_be_drawn_gives_its_label(name: str) -> None:
    assert caption(4, name) == "label 4"
    assert caption(4, "cat") == "cat"


@pytest.mark.parametrize(
    "changes",
    [
        {"pixels": b"123"},
        {"labels": [1]},
        {"class_names": ["cat"]},
        {"indices": [1]},
        {"count": 4},
        {"format": ImageFormat.IMAGE_FORMAT_PNG, "files": [b""]},
    ],
)
def test_replies_whose_parts_do_not_fit_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ServerError, match="the reply holds"):
        Samples.from_batch(batch(**changes))


def test_a_torn_file_is_no_image() -> None:
    reply = png_batch()
    reply.files[0] = reply.files[0][:40]
    with pytest.raises(ArtifactError, match="not a readable image"):
        Samples.from_batch(reply).numpy()


def test_a_file_of_another_size_is_refused() -> None:
    reply = png_batch()
    reply.files[1] = encode(PIXELS[1, :3], ImageEncoding(format=ImageFormat.IMAGE_FORMAT_PNG))
    with pytest.raises(ArtifactError, match="a file of 3×5×3 pixels where its images are 4×5×3"):
        Samples.from_batch(reply).numpy()


def test_other_indices_than_asked_for_are_refused() -> None:
    query = SampleQuery(address=SampleAddress(seed=7, indices=[10, 4, 5]))
    assert len(whole_reply(query, batch(indices=[10, 4, 5]))) == 3
    for reply in (batch(), batch(indices=[10, 5, 4])):
        with pytest.raises(ServerError, match="other indices"):
            whole_reply(query, reply)


@pytest.mark.parametrize(("first_index", "count"), [(9, 3), (10, 4)])
def test_replies_to_another_question_are_refused(first_index: int, count: int) -> None:
    query = SampleQuery(address=SampleAddress(seed=7, first_index=first_index, count=count))
    with pytest.raises(ServerError, match=r"asked for|in place of"):
        whole_reply(query, batch())


def test_a_tensor_shares_the_memory_of_the_samples() -> None:
    samples = Samples.from_batch(batch())
    last, first = samples.torch("NHWC"), samples.torch()
    assert (tuple(last.shape), tuple(first.shape)) == ((3, 4, 5, 3), (3, 3, 4, 5))
    assert last.data_ptr() == first.data_ptr() == samples.numpy().ctypes.data
    assert (last.numpy() == samples.numpy()).all()
    with pytest.raises(ConfigError, match="layout is 'CHW'; give 'NCHW' or 'NHWC'"):
        samples.torch("CHW")  # type: ignore[arg-type]


def test_a_tensor_without_pytorch_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("ganserve.client.torch")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConfigError, match=r"needs PyTorch; .*\.\[torch\]"):
        Samples.from_batch(batch()).torch()
