from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from ganserve.contract import images
from ganserve.contract.errors import ArtifactError, InvalidRequestError
from ganserve.v1.generator_pb2 import (
    IMAGE_FORMAT_JPEG,
    IMAGE_FORMAT_PNG,
    IMAGE_FORMAT_RAW,
    IMAGE_FORMAT_UNSPECIFIED,
    IMAGE_FORMAT_WEBP,
    ImageEncoding,
    ImageFormat,
)

LOSSLESS = [IMAGE_FORMAT_PNG, IMAGE_FORMAT_WEBP]
FILES = [*LOSSLESS, IMAGE_FORMAT_JPEG]


METADATA = (
    "eXIf",
    "iCCP",
    "tEXt",
    "zTXt",
    "iTXt",
    "pHYs",
    "gAMA",
    "cHRM",
    "sRGB",
    "tRNS",
    "acTL",
    "fcTL",
    "fdAT",
    "caBX",
)


def noise(channels: int, count: int = 1) -> images.Images:
    return np.random.default_rng(0).integers(0, 256, (count, 19, 23, channels), np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("image_format", LOSSLESS)
def test_lossless_formats_keep_every_pixel(channels: int, image_format: ImageFormat.ValueType) -> None:
    image = noise(channels)[0]
    file = images.encode(image, ImageEncoding(format=image_format))
    np.testing.assert_array_equal(images.decode(file, channels), image)


@pytest.mark.parametrize("image_format", FILES)
def test_files_are_what_their_format_says(image_format: ImageFormat.ValueType) -> None:
    file = images.encode(noise(3)[0], ImageEncoding(format=image_format))
    assert f"IMAGE_FORMAT_{Image.open(io.BytesIO(file)).format}" == ImageFormat.Name(image_format)


@pytest.mark.parametrize("image_format", [IMAGE_FORMAT_JPEG, IMAGE_FORMAT_WEBP])
def test_a_lower_quality_makes_smaller_files(image_format: ImageFormat.ValueType) -> None:
    sizes = [len(images.encode(noise(3)[0], ImageEncoding(format=image_format, quality=q))) for q in (10, 90)]
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("image_format", [IMAGE_FORMAT_UNSPECIFIED, IMAGE_FORMAT_RAW])
def test_raw_is_the_default(image_format: ImageFormat.ValueType) -> None:
    assert images.is_raw(ImageEncoding(format=image_format))


@pytest.mark.parametrize(("quality", "field"), [(0, "query.encoding.quality"), (101, "query.encoding.quality")])
def test_an_impossible_quality_is_refused(quality: int, field: str) -> None:
    with pytest.raises(InvalidRequestError, match="1 to 100") as caught:
        images.check_encoding(ImageEncoding(format=IMAGE_FORMAT_JPEG, quality=quality))
    assert caught.value.field == field


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="format 77 does not exist"):
        images.check_encoding(ImageEncoding(format=77))  # type: ignore[arg-type]


@pytest.mark.parametrize("data", [b"", b"no image", None])
def test_torn_files_are_refused(data: bytes | None) -> None:
    torn = images.encode(noise(3)[0], ImageEncoding(format=IMAGE_FORMAT_PNG))[:200] if data is None else data
    with pytest.raises(ArtifactError, match="not a readable image"):
        images.decode(torn, 3)


def test_the_table_holds_every_format_of_the_protocol() -> None:
    assert set(images.FORMAT_NUMBERS.values()) == set(ImageFormat.values()) - {IMAGE_FORMAT_UNSPECIFIED}
    assert tuple(images.FORMAT_NUMBERS) == get_args(images.ImageFormatName)
    assert tuple(form.name for form in images.FILE_FORMATS) == get_args(images.FileFormatName)


@pytest.mark.parametrize("form", images.FILE_FORMATS, ids=lambda form: form.name)
def test_a_format_is_known_by_its_name_and_by_every_suffix(form: images.FileFormat) -> None:
    assert images.file_format(form.name) is form
    assert all(images.file_format_of(suffix) is form for suffix in (*form.suffixes, form.suffixes[0].upper()))
    assert images.file_format_of(".eps") is None


def random_bytes(size: int) -> bytes:
    return np.random.default_rng(size).bytes(size)


def png_chunk(kind: str, content: bytes) -> bytes:
    body = kind.encode() + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def jpeg_segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def with_metadata(image_format: ImageFormat.ValueType, metadata: bytes) -> bytes:
    file = images.encode(noise(3)[0], ImageEncoding(format=image_format))
    start = 33 if image_format == IMAGE_FORMAT_PNG else 2
    return file[:start] + metadata + file[start:]


@pytest.mark.parametrize("kind", METADATA)
@pytest.mark.parametrize("size", [0, 1, 5, 8, 26, 300])
def test_metadata_of_a_png_never_matters(kind: str, size: int) -> None:
    chunk = png_chunk(kind, random_bytes(size))
    np.testing.assert_array_equal(images.decode(with_metadata(IMAGE_FORMAT_PNG, chunk), 3), noise(3)[0])


def test_a_profile_of_many_megabytes_never_matters() -> None:
    profile = b"name\0\0" + zlib.compress(bytes(5 * 2**20))
    large = png_chunk("iCCP", profile) + png_chunk("zTXt", profile)
    np.testing.assert_array_equal(images.decode(with_metadata(IMAGE_FORMAT_PNG, large), 3), noise(3)[0])


@pytest.mark.parametrize("marker", [*range(0xE0, 0xEE), 0xEF, 0xFE])
@pytest.mark.parametrize(
    "head",
    [b"", b"JFIF\0", b"Exif\0\0II*\0\x08\0\0\0", b"MPF\0II*\0\x08\0\0\0\x03\0", b"Photoshop 3.0\x008BIM\x03\xed\0"],
)
def test_metadata_of_a_jpeg_never_matters(marker: int, head: bytes) -> None:
    plain = images.decode(with_metadata(IMAGE_FORMAT_JPEG, b""), 3)
    for size in (0, 1, 9, 40):
        segment = jpeg_segment(marker, head + random_bytes(size))
        np.testing.assert_array_equal(images.decode(with_metadata(IMAGE_FORMAT_JPEG, segment), 3), plain)


@pytest.mark.parametrize("format", ["EPS", "TIFF", "GIF", "BMP"])
def test_other_files_are_never_opened(format: str) -> None:  # noqa: A002
    buffer = io.BytesIO()
    images.to_pil(noise(3)[0]).save(buffer, format)
    with pytest.raises(ArtifactError, match="none of PNG, JPEG, WEBP") as caught:
        images.decode(buffer.getvalue(), 3)
    assert "\n" not in str(caught.value)
    assert " at 0x" not in str(caught.value)


def test_of_16_bits_the_upper_8_are_taken() -> None:
    levels = np.arange(0, 65_536, 257, dtype=np.uint16).reshape(16, 16)
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, "PNG")
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    assert np.array_equal(images.decode(buffer.getvalue(), 1), grey)
    assert np.array_equal(images.decode(buffer.getvalue(), 3), grey.repeat(3, axis=2))
    assert np.array_equal(images.decode_input(buffer.getvalue(), 1, (16, 16)), grey)
    assert np.array_equal(images.decode_photograph(buffer.getvalue())[0], grey)


@pytest.mark.parametrize("image_format", FILES)
def test_altered_files_are_refused_or_read(image_format: ImageFormat.ValueType) -> None:
    file = images.encode(noise(3)[0], ImageEncoding(format=image_format))
    dice = np.random.default_rng(0)
    for length in dice.integers(1, len(file) + 1, 300):
        altered = bytearray(file[: length if length % 2 else len(file)])
        for place in dice.integers(0, len(altered), length % 4):
            altered[place] ^= 1 + length % 255
        with suppress(ArtifactError):
            images.decode(bytes(altered), 3)


@pytest.mark.parametrize(("side", "factor"), [(1, 48), (8, 6), (28, 2), (48, 1), (100, 1)])
def test_a_contact_sheet_enlarges_small_images_a_whole_number_of_times(side: int, factor: int) -> None:
    pictures = np.arange(6 * side * side, dtype=np.uint32).astype(np.uint8).reshape(6, side, side, 1)
    sheet = images.make_contact_sheet(pictures, columns=3)
    grid = images.make_grid(pictures, columns=3)
    assert sheet.shape == (grid.shape[0] * factor, grid.shape[1] * factor, 1)
    for top in range(factor):
        np.testing.assert_array_equal(sheet[top::factor, ::factor], grid)


@pytest.mark.parametrize(("count", "columns"), [(1, None), (7, None), (10, 4), (64, None)])
def test_a_grid_can_be_cut_again(count: int, columns: int | None) -> None:
    pictures = noise(3, count)
    grid = images.make_grid(pictures, columns)
    np.testing.assert_array_equal(images.cut_grid(grid, count, 19, 23), pictures)


def test_a_grid_that_is_too_small_is_refused() -> None:
    with pytest.raises(ArtifactError, match="fewer than 9 images"):
        images.cut_grid(images.make_grid(noise(1, 4)), 9, 19, 23)
