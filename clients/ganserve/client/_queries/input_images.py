"""Images as people give them, as arrays."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.images import NUM_RGB, Images, from_pil, read_image

ImageLike: TypeAlias = "NDArray[np.uint8] | PIL.Image.Image | str | os.PathLike[str]"
"""uint8 (height, width) or (height, width, 1 or 3), a PIL image, or a PNG, JPEG or WebP file."""


def read_input(image: ImageLike) -> Images:
    """uint8 (height, width, 1 or 3). Raises InvalidRequestError where it cannot be read or is no such image."""
    if isinstance(image, (str, os.PathLike)):
        return read_image(Path(image))
    if isinstance(image, PIL.Image.Image):
        return from_pil(image)
    given: object = image
    if not hasattr(given, "__array__"):
        raise InvalidRequestError(
            f"a {type(given).__name__} is no image; give an array, a PIL image or the name of a file"
        )
    array: NDArray[Any] = np.asarray(image)
    if array.ndim == 2:
        array = array[..., None]
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (1, NUM_RGB) or 0 in array.shape:
        raise InvalidRequestError(
            f"the image is {array.dtype} {array.shape}; give uint8 (height, width) or (height, width, 1 or 3)"
        )
    return array


def check_many(images: Iterable[ImageLike]) -> None:
    """Raises InvalidRequestError for one image, whose rows would be taken for images, and for what holds none."""
    if _is_one(images) or not isinstance(images, Iterable):
        raise InvalidRequestError("give any number of images, and of one a list, as in [image]", field="images")


def told_of(image: ImageLike, error: InvalidRequestError) -> str:
    """What is wrong with an image, with the name of its file, where it has one."""
    text = str(error)
    if not isinstance(image, (str, os.PathLike)) or text.startswith(os.fspath(image)):
        return text
    return f"{os.fspath(image)}: {text}"


def _is_one(images: Any) -> bool:
    if isinstance(images, np.ndarray):
        return images.ndim == 2 or (images.ndim == 3 and images.shape[2] in (1, NUM_RGB))
    return isinstance(images, (str, os.PathLike)) or hasattr(images, "convert")
