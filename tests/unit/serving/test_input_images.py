"""What of the images in a request is refused, and what its files become."""

from __future__ import annotations

import io
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganserve.contract.errors import InvalidRequestError
from ganserve.runtime.input_images import read_images
from ganserve.runtime.sources import Span, draw_rows
from ganserve.runtime.tensor_query import TensorQuery, open_tensors
from ganserve.v1.generator_pb2 import InputImages, ModelSelector, SampleQuery
from ganserve.v1.model_pb2 import ImageInput, ImageRole, ImageShape, ModelCard, ModelKind

SHAPE = ImageShape(height=4, width=6, channels=3)
CARD = ModelCard(
    kind=ModelKind.MODEL_KIND_TRANSLATOR,
    image=SHAPE,
    inputs=[
        ImageInput(name="image", role=ImageRole.IMAGE_ROLE_IMAGE, shape=SHAPE),
        ImageInput(name="mask", role=ImageRole.IMAGE_ROLE_MASK, shape=ImageShape(height=4, width=6, channels=1)),
    ],
)
PIXELS = np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3)
MASKS = bytes(2 * 4 * 6)


def file_of(image: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", **options)
    return buffer.getvalue()


def bomb() -> bytes:
    """A PNG that says that it has a hundred megapixels."""
    file = bytearray(file_of(np.zeros((4, 6, 3), np.uint8)))
    file[16:24] = (10_000).to_bytes(4, "big") * 2
    file[29:33] = zlib.crc32(file[12:29]).to_bytes(4, "big")
    return bytes(file)


def read(**images: Any) -> dict[str, Any]:
    return read_images(SampleQuery(images=InputImages(**images)), CARD)


def test_pixels_and_files_are_the_same() -> None:
    by_pixels = read(shape=SHAPE, pixels=PIXELS.tobytes(), mask_pixels=MASKS)
    by_files = read(files=[file_of(image) for image in PIXELS], mask_files=[file_of(np.zeros((4, 6), np.uint8))] * 2)
    for name in ("image", "mask"):
        assert np.array_equal(by_pixels[name], by_files[name])
    assert np.array_equal(by_pixels["image"], PIXELS)
    assert by_pixels["mask"].shape == (2, 4, 6, 1)


def test_a_file_is_turned_as_its_exif_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    turned = file_of(np.rot90(PIXELS[0], -1).copy(), exif=exif)
    assert np.array_equal(read(files=[turned], mask_files=[file_of(np.zeros((4, 6), np.uint8))])["image"][0], PIXELS[0])


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("images", "field", "text"),
    [
        ({"pixels": PIXELS.tobytes(), "mask_pixels": MASKS}, "shape", "of a shape that is not told, and this model"),
        (
            {"shape": ImageShape(height=6, width=4, channels=3), "pixels": PIXELS.tobytes(), "mask_pixels": MASKS},
            "shape",
            "6×4×3, and this model takes 4×6×3",
        ),
        ({"shape": SHAPE, "pixels": b"12345", "mask_pixels": MASKS}, "pixels", "no whole number of images of 4×6×3"),
        ({"mask_pixels": MASKS}, "pixels", "neither pixels and files of image are given"),
        ({"shape": SHAPE, "pixels": PIXELS.tobytes()}, "mask_pixels", "neither pixels and files of mask are given"),
        ({"files": [b"no image"], "mask_pixels": MASKS}, "files[0]", "not a readable image: none of PNG, JPEG, WEBP"),
        ({"files": [file_of(PIXELS[0]), file_of(PIXELS[0][:3])]}, "files[1]", "3×6, and this model takes 4×6"),
        ({"files": [file_of(PIXELS[0])[:-40]]}, "files[0]", "not a readable image"),
        ({"files": [bomb()], "mask_files": []}, "files[0]", "10000×10000, and this model takes 4×6"),
    ],
)
def test_what_cannot_be_read_is_told(images: dict[str, Any], field: str, text: str) -> None:
    with pytest.raises(InvalidRequestError, match=text) as caught:
        read(**images)
    assert caught.value.field == f"query.images.{field}"


def test_tensors_of_another_protocol_follow_the_signature() -> None:
    masks = np.zeros((2, 4, 6, 1), np.uint8)
    source = open_tensors(TensorQuery(model=ModelSelector(name="mend"), inputs={"image": PIXELS, "mask": masks}), CARD)
    assert source.count == 2
    rows = draw_rows([Span(source, 0, 2)])
    assert np.array_equal(rows.columns["image"], PIXELS)
    assert list(rows.columns) == ["image", "mask"]


@pytest.mark.parametrize(
    ("inputs", "field", "text"),
    [
        ({"mask": PIXELS[..., :1]}, "image", r"the input 'image' is missing; give uint8 \[N, 4, 6, 3\]"),
        ({"image": PIXELS}, "mask", r"the input 'mask' is missing; give uint8 \[N, 4, 6, 1\]"),
        ({"image": PIXELS, "mask": PIXELS[:1, ..., :1]}, "mask", "there are 1 rows of mask for 2 of image"),
        (
            {"image": PIXELS[:, :3], "mask": PIXELS[..., :1]},
            "image",
            r"image are uint8 \[2, 3, 6, 3\]; this model takes",
        ),
        ({"latents": PIXELS}, "latents", "the model has no input 'latents'; it takes 'image'"),
    ],
)
def test_tensors_that_do_not_fit_are_told(inputs: dict[str, Any], field: str, text: str) -> None:
    with pytest.raises(InvalidRequestError, match=text) as caught:
        open_tensors(TensorQuery(model=ModelSelector(name="mend"), inputs=inputs), CARD)
    assert caught.value.field == f"inputs.{field}"
