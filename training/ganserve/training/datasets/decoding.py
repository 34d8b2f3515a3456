"""Image files to one array: all of one size, greyscale or RGB, with every offending file named."""

from __future__ import annotations

import struct
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import numpy as np
from PIL import Image, UnidentifiedImageError

from ganserve.contract.errors import DatasetError

from .dataset import ImageDataset, OnProgress

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
MAX_PIXELS = 4096 * 4096
_GREY_MODES = frozenset({"1", "L", "LA"})
_COLOUR_MODES = frozenset({"P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
_NUM_LISTED = 10
# What Pillow and zipfile raise for files that are not what they claim.
_UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    NotImplementedError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class ImageFile:
    """One image of a source: its path for people, its class, and how to open it."""

    path: str
    class_name: str
    open: Callable[[], IO[bytes]]


@dataclass(frozen=True)
class _Header:
    width: int
    height: int
    is_grey: bool


def decode(files: Sequence[ImageFile], *, source: str, name: str, on_progress: OnProgress | None) -> ImageDataset:
    """Decodes `files`, classes in the order of their sorted names. Raises DatasetError."""
    if not files:
        suffixes = " ".join(sorted(IMAGE_SUFFIXES))
        raise DatasetError(f"{source}: no images in it; put them ({suffixes}) into one folder for each class")
    headers = _read_headers(files, source)
    width, height = _common_size(files, headers, source)
    mode, channels = ("L", 1) if all(header.is_grey for header in headers) else ("RGB", 3)
    class_names = tuple(sorted({file.class_name for file in files}))
    label_of = {class_name: label for label, class_name in enumerate(class_names)}
    images = np.empty((len(files), height, width, channels), dtype=np.uint8)
    faults: list[str] = []
    for index, file in enumerate(files):
        try:
            with _opened(file) as image:
                pixels = np.asarray(_on_black(image).convert(mode), dtype=np.uint8)
                images[index] = pixels.reshape(height, width, channels)
        except _UNREADABLE as error:
            faults.append(f"{file.path} ({error})")
        if on_progress is not None:
            on_progress(index + 1, len(files))
    _refuse(faults, f"{source}: images that cannot be decoded; mend or remove them")
    labels = np.array([label_of[file.class_name] for file in files], dtype=np.int64)
    return ImageDataset(images=images, labels=labels, class_names=class_names, name=name)


def _read_headers(files: Sequence[ImageFile], source: str) -> list[_Header]:
    headers: list[_Header] = []
    faults: list[str] = []
    for file in files:
        try:
            with _opened(file) as image:
                headers.append(_Header(image.width, image.height, _is_grey(image)))
        except UnidentifiedImageError:
            faults.append(f"{file.path} (not an image)")
        except _UNREADABLE as error:
            faults.append(f"{file.path} ({error})")
    _refuse(faults, f"{source}: images that cannot be read; mend or remove them")
    return headers


def _on_black(image: Image.Image) -> Image.Image:
    """The image without transparency: what shows on black."""
    if not image.has_transparency_data:
        return image
    opaque = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", opaque.size, (0, 0, 0, 255)), opaque)


def _is_grey(image: Image.Image) -> bool:
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{image.width}×{image.height} pixels, more than {MAX_PIXELS:,}")
    if image.mode not in _GREY_MODES | _COLOUR_MODES:
        raise ValueError(f"pixels of mode {image.mode}; save it with 8 bits a channel")
    return image.mode in _GREY_MODES


def _common_size(files: Sequence[ImageFile], headers: Sequence[_Header], source: str) -> tuple[int, int]:
    sizes = [(header.width, header.height) for header in headers]
    (width, height), _ = Counter(sizes).most_common(1)[0]
    faults = [
        f"{file.path} ({size[0]}×{size[1]})" for file, size in zip(files, sizes, strict=True) if size != (width, height)
    ]
    _refuse(faults, f"{source}: images of mixed sizes; resize or remove those that are not {width}×{height}")
    return width, height


def _refuse(faults: Sequence[str], headline: str) -> None:
    if faults:
        listed = ", ".join(faults[:_NUM_LISTED])
        more = f" and {len(faults) - _NUM_LISTED:,} more" if len(faults) > _NUM_LISTED else ""
        raise DatasetError(f"{headline}: {listed}{more}")


@contextmanager
def _opened(file: ImageFile) -> Iterator[Image.Image]:
    """Opens an image without decoding it; Pillow's warning of a decompression bomb is an error here."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with file.open() as stream, Image.open(stream) as image:
                yield image
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise ValueError("so many pixels that it may be a decompression bomb") from error
