"""One image file: what its header says, and its pixels. Whatever is wrong with it is a `BadImageError`."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from ganserve.contract.resizing import Resize

from .image_formats import FORMATS
from .metadata import load, turned_upright, upright_size, without_metadata

MAX_PIXELS = 4096 * 4096
"""Of an image that is decoded as it is."""

MAX_PIXELS_TO_RESIZE = 8192 * 8192
"""Of an image that is made smaller: cameras of 60 megapixels are below it."""

MAX_FILE_BYTES = 256 * 2**20
_GREY_MODES = frozenset({"1", "L", "LA"})
_COLOUR_MODES = frozenset({"P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
_DEEP_GREY_MODES = frozenset({"I;16", "I;16B", "I;16L", "I;16N"})
# Pillow opens greyscale PNM of more than 8 bits as whole numbers scaled to 16 bits, and Pillow 11 some PNGs so.
_FORMATS_OF_DEEP_GREY_AS_NUMBERS = frozenset({"PPM", "PNG"})
_JPEG_FORMATS = frozenset({"JPEG", "MPO"})

T = TypeVar("T")


class BadImageError(Exception):
    """An image that cannot be used; the text is the reason, without the file's name."""


@dataclass(frozen=True)
class ImageFile:
    """One image of a source: its path inside the source, its class, and how to open it."""

    path: str
    label: int | None
    open: Callable[[], IO[bytes]]


@dataclass(frozen=True)
class Header:
    """What an image is before it is decoded. Width and height are those of the upright image."""

    width: int
    height: int
    mode: str
    is_deep: bool
    """Whether it has 16 bits a channel."""
    has_frames: bool
    """Whether it is an animation or holds several pages, of which the first is the image."""

    @property
    def is_grey(self) -> bool:
        """Whether one channel holds all of it."""
        return self.mode in _GREY_MODES or self.mode.startswith("I")


def open_regular(path: Path) -> IO[bytes]:
    """Opens an image file; links are followed. Raises ValueError for a pipe or a device, for which it never waits."""
    return open(path, "rb", opener=_open_at_once)


def _open_at_once(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError("not a regular file")
    return descriptor


def read_header(file: ImageFile) -> Header:
    """Reads size and mode without decoding. Raises BadImageError."""
    return _read(file, _header)


def read_pixels(file: ImageFile, num_channels: int, resize: Resize | None = None) -> npt.NDArray[np.uint8]:
    """Decodes an image: upright, on black where it is transparent, greyscale or RGB, resized where that is asked for.

    Of 16 bits a channel the upper 8 are taken, of an animation the first frame. A JPEG of more than `MAX_PIXELS` that
    is to be made smaller is decoded at a half, a quarter or an eighth of its size, still at least twice the one wanted.

    Returns:
        uint8 (H, W, num_channels), C-contiguous.

    Raises:
        BadImageError: it is truncated or broken.
    """
    return _read(file, partial(_pixels, num_channels=num_channels, resize=resize))


def _read(file: ImageFile, look: Callable[[Image.Image], T]) -> T:
    """What `look` sees in the image, and without its metadata where those are in the way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with file.open() as stream:
                try:
                    with Image.open(stream, formats=FORMATS) as image:
                        return look(image)
                except (BadImageError, Image.DecompressionBombError):
                    raise
                except Exception:
                    bare = without_metadata(stream)
                    if bare is None:
                        raise
                    with Image.open(bare[0], formats=FORMATS) as image:
                        image.info["exif"] = bare[1]
                        return look(image)
        except BadImageError:
            raise
        except UnidentifiedImageError as error:
            raise BadImageError("not an image") from error
        except Image.DecompressionBombError as error:
            raise BadImageError("so many pixels that it may be a decompression bomb") from error
        except Exception as error:  # Pillow raises whatever its parsing of a broken file stumbles over.
            raise BadImageError(str(error) or type(error).__name__) from error


def _header(image: Image.Image) -> Header:
    is_number = image.mode == "I" and image.format in _FORMATS_OF_DEEP_GREY_AS_NUMBERS
    if not is_number and image.mode not in _GREY_MODES | _COLOUR_MODES | _DEEP_GREY_MODES:
        raise BadImageError(f"pixels of mode {image.mode}; save it with 8 or 16 bits a channel, greyscale or RGB")
    width, height = upright_size(image)
    return Header(
        width,
        height,
        image.mode,
        is_deep=is_number or any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())),
        has_frames=getattr(image, "is_animated", False) and image.format not in _JPEG_FORMATS,
    )


def _pixels(image: Image.Image, *, num_channels: int, resize: Resize | None) -> npt.NDArray[np.uint8]:
    if resize is not None and image.format in _JPEG_FORMATS and image.width * image.height > MAX_PIXELS:
        # Twice the longer side, however the image is turned.
        image.draft(image.mode, (2 * max(resize.width, resize.height),) * 2)
    number = load(image)
    eight_bits = _upper_bits(image) if image.mode.startswith("I") else on_black(image)
    flat = turned_upright(eight_bits.convert("L" if num_channels == 1 else "RGB"), number)
    if resize is not None:
        flat = resize.apply(flat)
    pixels = np.asarray(flat, dtype=np.uint8).reshape(flat.height, flat.width, num_channels)
    return np.ascontiguousarray(pixels)


def _upper_bits(image: Image.Image) -> Image.Image:
    """Greyscale of 16 bits as 8, and the level that is transparent as black."""
    levels = np.asarray(image)
    upper = (levels >> 8).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        upper[levels == transparent] = 0
    return Image.fromarray(upper)


def on_black(image: Image.Image) -> Image.Image:
    """The image without transparency: what shows on black."""
    if not image.has_transparency_data:
        return image
    opaque = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", opaque.size, (0, 0, 0, 255)), opaque)
