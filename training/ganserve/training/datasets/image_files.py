"""One image file: what its header says, and its pixels. Whatever is wrong with it is a `BadImageError`."""

from __future__ import annotations

import os
import stat
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from .archives import BROKEN
from .resizing import Resize

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
MAX_PIXELS = 4096 * 4096
MAX_FILE_BYTES = 256 * 2**20
_GREY_MODES = frozenset({"1", "L", "LA"})
_COLOUR_MODES = frozenset({"P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
# What Pillow raises besides.
_UNREADABLE = (*BROKEN, SyntaxError, struct.error)
# EXIF 2.32, tag 0x0112: how the stored rows and columns lie in the scene.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = frozenset({5, 6, 7, 8})


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

    @property
    def is_grey(self) -> bool:
        """Whether one channel holds all of it."""
        return self.mode in _GREY_MODES


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
    with _opened(file) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise BadImageError(f"{width}×{height} pixels, more than {MAX_PIXELS:,}")
        if image.mode not in _GREY_MODES | _COLOUR_MODES:
            raise BadImageError(f"pixels of mode {image.mode}; save it with 8 bits a channel")
        if _orientation(image) in _ON_ITS_SIDE:
            width, height = height, width
        return Header(width, height, image.mode)


def read_pixels(file: ImageFile, num_channels: int, resize: Resize | None = None) -> npt.NDArray[np.uint8]:
    """Decodes an image: upright, on black where it is transparent, greyscale or RGB, resized where that is asked for.

    Returns:
        uint8 (H, W, num_channels), C-contiguous.

    Raises:
        BadImageError: it is truncated or broken.
    """
    with _opened(file) as image:
        orientation = _orientation(image)
        flat = _on_black(image).convert("L" if num_channels == 1 else "RGB")
    if orientation in _UPRIGHT:
        flat = flat.transpose(_UPRIGHT[orientation])
    if resize is not None:
        flat = resize.apply(flat)
    pixels = np.asarray(flat, dtype=np.uint8).reshape(flat.height, flat.width, num_channels)
    return np.ascontiguousarray(pixels)


@contextmanager
def _opened(file: ImageFile) -> Iterator[Image.Image]:
    """Opens an image without decoding it. Of Pillow's warnings the one of a decompression bomb is an error here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with file.open() as stream, Image.open(stream) as image:
                yield image
        except UnidentifiedImageError as error:
            raise BadImageError("not an image") from error
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise BadImageError("so many pixels that it may be a decompression bomb") from error
        except _UNREADABLE as error:
            raise BadImageError(str(error) or type(error).__name__) from error


def _orientation(image: Image.Image) -> int:
    # Pillow decodes a PNG to look for EXIF after its pixels, where nobody writes it.
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    with suppress(*_UNREADABLE):
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    return 1


def _on_black(image: Image.Image) -> Image.Image:
    """The image without transparency: what shows on black."""
    if not image.has_transparency_data:
        return image
    opaque = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", opaque.size, (0, 0, 0, 255)), opaque)
