"""How images are handed out: as tensors, PIL images or arrays, through a transform of whatever library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import torch
from PIL import Image

from ganserve.contract.errors import ConfigError, DatasetError
from ganserve.contract.images import DEEP_MODES, Images, to_pil

ImageType = Literal["tensor", "pil", "numpy"]
Transform = Callable[..., Any]
Tensor = torch.Tensor

_MODE_OF_CHANNELS: Final = {1: "L", 3: "RGB"}
_GREY_MODES: Final = ("1", "L")


@dataclass(frozen=True)
class Presentation:
    """The form of images, and what is done to each.

    Attributes:
        images: ``"tensor"`` is uint8 (C, H, W), ``"pil"`` mode L or RGB, ``"numpy"`` uint8 (H, W, C).
        transform: called with the image; one of albumentations is called as its library has it.
    """

    images: ImageType
    transform: Transform | None

    @classmethod
    def choose(cls, images: ImageType | None, transform: Transform | None) -> Presentation:
        """Tensors where nobody says otherwise, or arrays for albumentations. Raises ConfigError."""
        if transform is not None and not callable(transform):
            raise ConfigError(f"transform is {transform!r}; give something that is called with an image")
        if _is_albumentations(transform):
            if images not in (None, "numpy"):
                raise ConfigError(f"images is {images!r}, and transforms of albumentations take arrays; leave it out")
            return cls("numpy", _Albumentations(transform))
        if images is not None and images not in get_args(ImageType):
            raise ConfigError(f"images is {images!r}; give one of {', '.join(map(repr, get_args(ImageType)))}")
        return cls(images or "tensor", transform)

    def present(self, pixels: Images) -> Any:
        """An image in its form from uint8 (H, W, C), of which it shares no memory."""
        image = from_pixels(pixels, self.images)
        return image if self.transform is None else self.transform(image)


@dataclass(frozen=True)
class _Albumentations:
    """A transform of albumentations, called with an array as the others are."""

    transform: Any

    def __call__(self, image: Images) -> Any:
        return self.transform(image=image)["image"]


def from_pixels(pixels: Images, images: ImageType) -> Any:
    """A copy of uint8 (H, W, C) in the form asked for."""
    if images == "pil":
        return to_pil(pixels.copy())
    if images == "numpy":
        return pixels.copy()
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())


def to_tensor(images: Images) -> Tensor:
    """A uint8 tensor that shares the memory of an array, or a copy of one that must not be written to."""
    return torch.from_numpy(images if images.flags.writeable else images.copy())


def to_pixels(image: Any, where: str) -> Images:
    """uint8 (H, W, C) from a PIL image, a tensor (C, H, W) or (H, W), or an array (H, W, C) or (H, W).

    Args:
        image: of any data set.
        where: names it in an error.

    Raises:
        DatasetError: anything else, such as floats.
    """
    if isinstance(image, Image.Image):
        if image.mode in DEEP_MODES:
            raise DatasetError(f"{where} has mode {image.mode}, more than 8 bits a channel; convert it before")
        return _with_channels(np.asarray(image.convert("L" if image.mode in _GREY_MODES else "RGB")))
    if isinstance(image, torch.Tensor):
        array = image.numpy(force=True)
        array = array.transpose(1, 2, 0) if array.ndim == 3 else array
    elif isinstance(image, np.ndarray):
        array = image
    else:
        raise DatasetError(f"{where} is a {type(image).__name__}, no PIL image, tensor or array")
    if array.dtype != np.uint8:
        kind = "tensor" if isinstance(image, torch.Tensor) else "array"
        raise DatasetError(
            f"{where} is a {kind} of {array.dtype}, shape {tuple(image.shape)}, and not uint8 pixels; give its "
            "transform to what it is given to, which applies it to all images, or to mix a synthetic_transform that "
            "makes the same of synthetic ones"
        )
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in _MODE_OF_CHANNELS):
        raise DatasetError(f"{where} is {_describe_shape(tuple(image.shape), isinstance(image, torch.Tensor))}")
    return _with_channels(array)


def resized(pixels: Images, size: tuple[int, int] | None, channels: int | None) -> Images:
    """uint8 (H, W, C) brought to a size, by Pillow's bicubic filter, and a number of channels; None keeps what is."""
    height, width, own_channels = pixels.shape
    if size in (None, (height, width)) and channels in (None, own_channels):
        return pixels
    picture = to_pil(pixels)
    if channels is not None:
        picture = picture.convert(_MODE_OF_CHANNELS[channels])
    if size is not None:
        picture = picture.resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return _with_channels(np.asarray(picture))


def _describe_shape(shape: tuple[int, ...], is_tensor: bool) -> str:
    """What is wrong with the shape of a tensor or an array, and how to mend it."""
    kind, place, usual = ("a tensor", "first", "(3, H, W)") if is_tensor else ("an array", "last", "(H, W, 3)")
    if len(shape) == 3 and shape[2 if is_tensor else 0] in _MODE_OF_CHANNELS:
        turned = (shape[2], *shape[:2]) if is_tensor else (*shape[1:], shape[0])
        order = "2, 0, 1" if is_tensor else "1, 2, 0"
        change = f"image.{'permute' if is_tensor else 'transpose'}({order})"
        return f"{kind} of shape {shape}, and those have channels {place}: {turned}, as {change} makes it"
    if len(shape) == 3:
        return f"{kind} of shape {shape}; give 1 or 3 channels, {place}, such as {usual}"
    return f"{kind} of shape {shape}; give one image, {usual} or (H, W)"


def _with_channels(array: Images) -> Images:
    return array[..., None] if array.ndim == 2 else array


def _is_albumentations(transform: object) -> bool:
    return any(kind.__module__.partition(".")[0] == "albumentations" for kind in type(transform).__mro__)
