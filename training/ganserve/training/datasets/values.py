"""Arrays of label numbers to classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ganserve.contract.errors import DatasetError

from .decoding import Decoded


def labelled_by_value(
    shape: tuple[int, ...],
    values: npt.NDArray[np.integer[Any]] | None,
    known_values: npt.NDArray[np.integer[Any]] | None,
    source: str,
) -> Decoded:
    """What a dataset of arrays is: it has a class for each value that occurs among `known_values`, named by its number.

    Args:
        shape: of the images, (N, H, W, C).
        values: any integers (N,); None where there are no labels.
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
    return Decoded(height, width, num_channels, labels, tuple(map(str, classes.tolist())))
