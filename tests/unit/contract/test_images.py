from __future__ import annotations

import io

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
