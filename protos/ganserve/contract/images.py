"""Images as arrays, as files in memory, and as a grid for people to look at."""

from __future__ import annotations

import io
import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ganserve.contract.errors import ArtifactError, InvalidRequestError
from ganserve.v1.generator_pb2 import ImageEncoding, ImageFormat

Images = NDArray[np.uint8]

SUFFIXES: Final = {
    ImageFormat.IMAGE_FORMAT_PNG: "png",
    ImageFormat.IMAGE_FORMAT_JPEG: "jpg",
    ImageFormat.IMAGE_FORMAT_WEBP: "webp",
}
_JPEG_QUALITY: Final = 95
_FORMATS: Final = ("PNG", "JPEG", "WEBP")  # Pillow would start Ghostscript for an EPS file
_SMALLEST_TO_SEE: Final = 48  # pixels


def check_encoding(encoding: ImageEncoding) -> None:
    """Raises InvalidRequestError for a format or quality that does not exist."""
    if encoding.format not in ImageFormat.values():
        raise InvalidRequestError(
            f"image format {encoding.format} does not exist; use raw, png, jpeg or webp", field="query.encoding.format"
        )
    if encoding.HasField("quality") and not 1 <= encoding.quality <= 100:
        raise InvalidRequestError(
            f"quality is {encoding.quality}; it goes from 1 to 100", field="query.encoding.quality"
        )


def is_raw(encoding: ImageEncoding) -> bool:
    """Whether the images travel as pixels rather than as files."""
    return encoding.format not in SUFFIXES


def to_pil(image: Images) -> Image.Image:
    """A PIL image, mode L or RGB, from uint8 (height, width, 1 or 3)."""
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def encode(image: Images, encoding: ImageEncoding) -> bytes:
    """One image file from uint8 (height, width, 1 or 3). WebP without a quality is lossless, like PNG."""
    buffer = io.BytesIO()
    picture = to_pil(image)
    quality = encoding.quality if encoding.HasField("quality") else None
    if encoding.format == ImageFormat.IMAGE_FORMAT_PNG:
        picture.save(buffer, "PNG", compress_level=1)
    elif encoding.format == ImageFormat.IMAGE_FORMAT_JPEG:
        picture.save(buffer, "JPEG", quality=quality or _JPEG_QUALITY)
    elif quality is None:
        picture.save(buffer, "WEBP", lossless=True, quality=0)
    else:
        picture.save(buffer, "WEBP", quality=quality)
    return buffer.getvalue()


def decode(data: bytes, channels: int) -> Images:
    """uint8 (height, width, channels) from a PNG, JPEG or WebP file. Raises ArtifactError where it is not one."""
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
            pixels = np.asarray(picture.convert("L" if channels == 1 else "RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ArtifactError(f"these {len(data)} bytes are not a readable image: {error}") from error
    return pixels.reshape(*pixels.shape[:2], channels)


def make_grid(images: Images, columns: int | None = None, gap: int = 2) -> Images:
    """Lays images (N, height, width, channels) out row by row on black; without `columns`, about as wide as high.

    Returns:
        uint8 (rows * (height + gap) - gap, columns * (width + gap) - gap, channels).
    """
    count, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = -(-count // columns)
    grid = np.zeros((rows * (height + gap), columns * (width + gap), channels), np.uint8)
    for i, image in enumerate(images):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        grid[top : top + height, left : left + width] = image
    return grid[: grid.shape[0] - gap, : grid.shape[1] - gap]


def make_contact_sheet(images: Images, columns: int | None = None) -> Images:
    """A grid for people to look at: like `make_grid`, and small images enlarged, a whole number of times."""
    factor = max(1, math.ceil(_SMALLEST_TO_SEE / max(images.shape[1:3])))
    return make_grid(images, columns).repeat(factor, axis=0).repeat(factor, axis=1)


def cut_grid(grid: Images, count: int, height: int, width: int, gap: int = 2) -> Images:
    """The images (count, height, width, channels) of a grid that `make_grid` laid out.

    Raises:
        ArtifactError: the grid is too small to hold them.
    """
    columns = (grid.shape[1] + gap) // (width + gap)
    rows = (grid.shape[0] + gap) // (height + gap)
    if rows * columns < count:
        raise ArtifactError(f"the grid of {grid.shape[0]}×{grid.shape[1]} pixels holds fewer than {count} images")
    corners = [((i // columns) * (height + gap), (i % columns) * (width + gap)) for i in range(count)]
    return np.stack([grid[top : top + height, left : left + width] for top, left in corners])
