"""Images as arrays, as files in memory, and as a grid for people to look at."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from ganserve.contract.errors import ArtifactError, InvalidRequestError
from ganserve.contract.image_metadata import without_metadata
from ganserve.contract.text import one_line
from ganserve.v1.generator_pb2 import ImageEncoding, ImageFormat

Images = NDArray[np.uint8]
FileFormatName = Literal["png", "jpeg", "webp"]
ImageFormatName = Literal["raw", "png", "jpeg", "webp"]


@dataclass(frozen=True, kw_only=True)
class FileFormat:
    """A kind of image file.

    Attributes:
        name: as people write it.
        number: as requests and replies carry it.
        pillow_name: as Pillow calls it.
        suffixes: what its files end in; the first is written, all are understood.
        options: what Pillow saves with where nobody asks for a quality.
        takes_quality: whether a quality of 1 to 100 may be asked for, at a loss.
    """

    name: FileFormatName
    number: ImageFormat.ValueType
    pillow_name: str
    suffixes: tuple[str, ...]
    options: Mapping[str, Any]
    takes_quality: bool


FILE_FORMATS: Final = (
    FileFormat(
        name="png",
        number=ImageFormat.IMAGE_FORMAT_PNG,
        pillow_name="PNG",
        suffixes=(".png",),
        options={"compress_level": 1},
        takes_quality=False,
    ),
    FileFormat(
        name="jpeg",
        number=ImageFormat.IMAGE_FORMAT_JPEG,
        pillow_name="JPEG",
        suffixes=(".jpg", ".jpeg"),
        options={"quality": 95},
        takes_quality=True,
    ),
    FileFormat(
        name="webp",
        number=ImageFormat.IMAGE_FORMAT_WEBP,
        pillow_name="WEBP",
        suffixes=(".webp",),
        options={"lossless": True, "quality": 0},
        takes_quality=True,
    ),
)
"""Every kind of file that samples are written in. No other is ever opened: Pillow starts Ghostscript for EPS."""

FORMAT_NUMBERS: Final[Mapping[str, ImageFormat.ValueType]] = {
    "raw": ImageFormat.IMAGE_FORMAT_RAW,
    **{form.name: form.number for form in FILE_FORMATS},
}
"""Every form that images travel in, by name."""

_FILE_FORMATS_BY_NUMBER: Final = {form.number: form for form in FILE_FORMATS}
_PILLOW_NAMES: Final = tuple(form.pillow_name for form in FILE_FORMATS)
NUM_RGB: Final = 3
_SMALLEST_TO_SEE: Final = 48  # pixels
DEEP_MODES: Final = frozenset({"I", "F", "I;16", "I;16B", "I;16L", "I;16N"})
"""Of PIL images with more than 8 bits a channel."""
_DEEP_GREY_MODES: Final = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
_GREY_MODES: Final = frozenset({"1", "L", "LA", *_DEEP_GREY_MODES})


def file_format(name: FileFormatName) -> FileFormat:
    """The format of a name."""
    return _FILE_FORMATS_BY_NUMBER[FORMAT_NUMBERS[name]]


def file_format_of(suffix: str) -> FileFormat | None:
    """The format whose files end in `suffix`, such as ``.jpg``, in any case; None where there is none."""
    return next((form for form in FILE_FORMATS if suffix.lower() in form.suffixes), None)


def check_encoding(encoding: ImageEncoding) -> None:
    """Raises InvalidRequestError for a format or quality that does not exist."""
    if encoding.format not in ImageFormat.values():
        raise InvalidRequestError(
            f"image format {encoding.format} does not exist; use {', '.join(FORMAT_NUMBERS)}",
            field="query.encoding.format",
        )
    if encoding.HasField("quality") and not 1 <= encoding.quality <= 100:
        raise InvalidRequestError(
            f"quality is {encoding.quality}; it goes from 1 to 100", field="query.encoding.quality"
        )


def is_raw(encoding: ImageEncoding) -> bool:
    """Whether the images travel as pixels rather than as files."""
    return encoding.format not in _FILE_FORMATS_BY_NUMBER


def to_pil(image: Images) -> Image.Image:
    """A PIL image, mode L or RGB, from uint8 (height, width, 1 or 3)."""
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def encode(image: Images, encoding: ImageEncoding) -> bytes:
    """One image file from uint8 (height, width, 1 or 3). WebP without a quality is lossless, like PNG."""
    form = _FILE_FORMATS_BY_NUMBER[encoding.format]
    asked = form.takes_quality and encoding.HasField("quality")
    buffer = io.BytesIO()
    to_pil(image).save(buffer, form.pillow_name, **{"quality": encoding.quality} if asked else form.options)
    return buffer.getvalue()


def decode(data: bytes, channels: int) -> Images:
    """uint8 (height, width, channels) from a PNG, JPEG or WebP file, whatever metadata it carries.

    Of 16 bits a channel the upper eight are taken, here and in all that reads files.

    Raises:
        ArtifactError: the bytes are not such a file, or it is torn.
    """
    with _opened(without_metadata(data), len(data)) as picture:
        return _pixels(picture, channels)


def decode_input(data: bytes, channels: int, size: tuple[int, int]) -> Images:
    """As `decode`, of an image that a caller sends: turned as its EXIF says, and of a height and width.

    One of another size is refused by its header, whatever it would take to decode it.

    Raises:
        ArtifactError: as `decode`, or it has another size.
    """
    with _opened(data, len(data)) as picture:
        found = picture.size[::-1]
        pixels = None
        if found in (size, size[::-1]):  # else its EXIF, which may lie behind the pixels, need not be looked for
            pixels = _pixels(ImageOps.exif_transpose(picture), channels)
            found = pixels.shape[:2]
        if pixels is None or found != size:
            raise ArtifactError(
                f"the image is {found[0]}×{found[1]}, and this model takes {size[0]}×{size[1]}; the client's "
                "`transform` and `score` bring others to it"
            )
        return pixels


def read_image(path: Path) -> Images:
    """uint8 (height, width, 1 or 3) from a PNG, JPEG or WebP file, turned as its EXIF says. Transparency is left out.

    Raises:
        InvalidRequestError: it cannot be read, or is not such a file.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidRequestError(f"{path} cannot be read ({error.strerror})") from error
    try:
        image, _ = decode_photograph(data)
    except ArtifactError as error:
        raise InvalidRequestError(f"{path}: {error}") from error
    return image


def from_pil(image: Image.Image) -> Images:
    """uint8 (height, width, 1 or 3) from a PIL image of 8 bits a channel. Transparency is left out.

    Raises:
        InvalidRequestError: it has more bits.
    """
    if image.mode in DEEP_MODES:
        raise InvalidRequestError(f"the PIL image has the mode {image.mode}, more than 8 bits a channel; convert it")
    return _pixels(image, 1 if image.mode in _GREY_MODES else NUM_RGB)


def decode_photograph(data: bytes, most_pixels: int | None = None) -> tuple[Images, FileFormat]:
    """An image of any size, uint8 (height, width, 1 or 3), turned as its EXIF says, and its format.

    Transparency is left out.

    Args:
        data: a PNG, JPEG or WebP file.
        most_pixels: those that it may have, which its header tells before it is decoded; None for any number.

    Raises:
        ArtifactError: it is not such a file, or has more pixels.
    """
    with _opened(data, len(data)) as picture:
        if most_pixels is not None and picture.width * picture.height > most_pixels:
            raise ArtifactError(
                f"the image is {picture.height}×{picture.width}, more than the {most_pixels:,} pixels that are taken"
            )
        form = next(form for form in FILE_FORMATS if form.pillow_name == picture.format)
        return _pixels(ImageOps.exif_transpose(picture), 1 if picture.mode in _GREY_MODES else NUM_RGB), form


def in_channels(image: Images, channels: int) -> Images:
    """An image uint8 (height, width, 1 or 3) in grey or in colour: uint8 (height, width, channels)."""
    if image.shape[2] == channels:
        return image
    if channels == NUM_RGB:
        return image.repeat(NUM_RGB, axis=2)
    return np.asarray(to_pil(image).convert("L"))[..., None]


@contextmanager
def _opened(data: bytes, num_bytes: int) -> Iterator[Image.Image]:
    """A file of `num_bytes` as Pillow reads it. Raises ArtifactError, in its body too."""
    try:
        with Image.open(io.BytesIO(data), formats=_PILLOW_NAMES) as picture:
            yield picture
    except UnidentifiedImageError:
        kinds = ", ".join(_PILLOW_NAMES)
        raise ArtifactError(f"these {num_bytes} bytes are not a readable image: none of {kinds}") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ArtifactError(f"these {num_bytes} bytes are not a readable image: {one_line(error)}") from error


def _pixels(picture: Image.Image, channels: int) -> Images:
    if picture.mode in _DEEP_GREY_MODES:  # which Pillow would clip
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    pixels = np.asarray(picture.convert("L" if channels == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], channels)


def make_grid(images: Images, columns: int | None = None, gap: int = 2) -> Images:
    """Lays images (N, height, width, channels) out row by row on black; without `columns`, about as wide as high.

    Returns:
        uint8 (rows * (height + gap) - gap, columns * (width + gap) - gap, channels).
    """
    count, height, width, channels = images.shape
    columns = columns or num_columns(count)
    rows = -(-count // columns)
    grid = np.zeros((rows * (height + gap), columns * (width + gap), channels), np.uint8)
    for i, image in enumerate(images):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        grid[top : top + height, left : left + width] = image
    return grid[: grid.shape[0] - gap, : grid.shape[1] - gap]


def num_columns(count: int) -> int:
    """Images a row of a grid that is about as wide as high."""
    return math.ceil(math.sqrt(count))


def zoom_to_see(height: int, width: int) -> int:
    """How many times an image of that size is enlarged for people to see it."""
    return max(1, math.ceil(_SMALLEST_TO_SEE / max(height, width)))


def make_contact_sheet(images: Images, columns: int | None = None) -> Images:
    """A grid for people to look at: like `make_grid`, and small images enlarged, a whole number of times."""
    zoom = zoom_to_see(*images.shape[1:3])
    return make_grid(images, columns).repeat(zoom, axis=0).repeat(zoom, axis=1)


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
