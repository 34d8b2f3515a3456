"""Arrays of levels to pixels, and arrays of labels to classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ganserve.contract.errors import DatasetError

from .decoding import Decoded
from .layouts import require_text

_LEVELS_AT_ONCE = 2**24
_MAX_LEVEL = 255


def to_pixels(
    images: npt.NDArray[Any], training_images: npt.NDArray[Any], what: str, source: str
) -> tuple[npt.NDArray[np.uint8], str]:
    """Images of any numbers as uint8, and what was done to them, empty for nothing.

    Bytes are taken as they are. So are other whole numbers up to 255; those of 16 bits that go beyond it are taken by
    their upper 8 bits. True is 255. Floats may be from 0 to 1, from -1 to 1, or from 0 to 255, and are rounded.

    Args:
        images: whatever shape; none may be empty.
        training_images: tell the range, so that both splits have the same.
        what: they are, for notes and messages.
        source: what it is in, for messages.

    Raises:
        DatasetError: they are of another kind or range, or could be meant in two ways.
    """
    if images.dtype == np.uint8:
        return images, ""
    if images.dtype.kind == "b":
        return images.astype(np.uint8) * np.uint8(_MAX_LEVEL), f"{what} is of truths; true is level {_MAX_LEVEL}"
    where = f"{source}: {what}"
    if images.dtype.kind not in "iuf":
        raise DatasetError(f"{where} is of {images.dtype}, not of numbers; save it as uint8")
    lowest, highest = _range(training_images, where)
    if images.dtype.kind == "f":
        scale, offset = _float_scale(lowest, highest, where)
    else:
        scale, offset = _integer_scale(lowest, highest, images.dtype, where)
    pixels = np.empty(images.shape, dtype=np.uint8)
    is_rounded = False
    num_at_once = max(1, _LEVELS_AT_ONCE * len(images) // images.size)
    for start in range(0, len(images), num_at_once):
        part = slice(start, start + num_at_once)
        levels = images[part].astype(np.float64) * scale + offset
        rounded = np.rint(levels) if images.dtype.kind == "f" else np.floor(levels)
        if not 0 <= rounded.min() <= rounded.max() <= _MAX_LEVEL:
            raise DatasetError(f"{where} has levels outside of the training images' {lowest:g} to {highest:g}")
        pixels[part] = rounded
        is_rounded = is_rounded or not np.array_equal(levels, rounded)
    if scale == 1:
        return pixels, f"{what} is of {images.dtype}; levels are rounded to whole numbers" if is_rounded else ""
    first, last = (0 - offset) / scale, (_MAX_LEVEL - offset) / scale
    return pixels, f"{what} is of {images.dtype}; levels from {first:g} to {last:g} are scaled to 0 to {_MAX_LEVEL}"


def _range(images: npt.NDArray[Any], what: str) -> tuple[float, float]:
    lowest, highest = float(images.min()), float(images.max())
    if not np.isfinite([lowest, highest]).all():
        raise DatasetError(f"{what} has levels that are infinite or no numbers; mend them")
    return lowest, highest


def _float_scale(lowest: float, highest: float, what: str) -> tuple[float, float]:
    """What levels are multiplied with, and what is added then."""
    if lowest >= 0 and highest <= 1:
        return float(_MAX_LEVEL), 0.0
    if lowest >= -1 and highest <= 1:
        return _MAX_LEVEL / 2, _MAX_LEVEL / 2
    if lowest >= 0 and highest <= _MAX_LEVEL:
        return 1.0, 0.0
    raise DatasetError(
        f"{what} has levels from {lowest:g} to {highest:g}, not from 0 to 1, -1 to 1 or 0 to 255; save it as uint8"
    )


def _integer_scale(lowest: float, highest: float, dtype: np.dtype[Any], what: str) -> tuple[float, float]:
    """As `_float_scale` has it."""
    if lowest >= 0 and highest == 1:
        raise DatasetError(f"{what} is of {dtype} with levels 0 and 1; multiply it with 255 and save it as uint8")
    if lowest >= 0 and highest <= _MAX_LEVEL:
        return 1.0, 0.0
    if dtype == np.uint16:
        return 1 / 256, 0.0
    raise DatasetError(f"{what} is of {dtype} with levels from {lowest:g} to {highest:g}, not from 0 to 255")


def labelled_by_value(
    shape: tuple[int, ...],
    values: npt.NDArray[Any] | None,
    known_values: npt.NDArray[Any] | None,
    source: str,
) -> Decoded:
    """What a dataset of arrays is: it has a class for each value that occurs among `known_values`, named as it is.

    Args:
        shape: of the images, (N, H, W, C).
        values: whole numbers, texts, or true and false (N,); None where there are no labels.
        known_values: those of the training images, so that both splits number the classes alike; None where only
            `values` are known.
        source: what people call it, for messages.

    Raises:
        DatasetError: there is no image, or a value is not among the known ones.
    """
    num_images, height, width, num_channels = shape
    if num_images == 0:
        raise DatasetError(f"{source}: there are no images in it; add some")
    if values is None:
        return Decoded(height, width, num_channels, labels=None, class_names=())
    classes = np.unique(values if known_values is None else known_values)
    foreign = np.setdiff1d(values, classes)
    if len(foreign):
        raise DatasetError(f"{source}: test images of class {foreign[0]}, which no training image has")
    labels = np.searchsorted(classes, values).astype(np.int64)
    names = require_text(map(str, classes.tolist()), f"{source}: the class name")
    return Decoded(height, width, num_channels, labels, names)
