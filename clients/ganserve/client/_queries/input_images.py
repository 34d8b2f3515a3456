"""Images as people give them, as arrays."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.images import NUM_RGB, Images, read_image

if TYPE_CHECKING:
    from PIL.Image import Image

ImageLike: TypeAlias = "NDArray[np.uint8] | Image | str | os.PathLike[str]"
"""uint8 (height, width) or (height, width, 1 or 3), a PIL image, or a PNG, JPEG or WebP file."""


def read_input(image: ImageLike) -> Images:
    """uint8 (height, width, 1 or 3). Raises InvalidRequestError where it cannot be read or is no such image."""
    if isinstance(image, (str, os.PathLike)):
        return read_image(Path(image))
    mode = getattr(image, "mode", None)
    if mode is not None and mode not in ("L", "RGB"):
        raise InvalidRequestError(f"the PIL image has the mode {mode}; convert it to RGB or L")
    array: NDArray[Any] = np.asarray(image)
    if array.ndim == 2:
        array = array[..., None]
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (1, NUM_RGB) or 0 in array.shape:
        raise InvalidRequestError(
            f"the image is {array.dtype} {array.shape}; give uint8 (height, width) or (height, width, 1 or 3)"
        )
    return array


def check_many(images: Iterable[ImageLike]) -> None:
    """Raises InvalidRequestError for one image, whose rows would be taken for images."""
    if _is_one(images):
        raise InvalidRequestError("give any number of images, and of one a list, as in [image]", field="images")


def _is_one(images: Any) -> bool:
    if isinstance(images, np.ndarray):
        return images.ndim == 2 or (images.ndim == 3 and images.shape[2] in (1, NUM_RGB))
    return isinstance(images, (str, os.PathLike)) or hasattr(images, "convert")
