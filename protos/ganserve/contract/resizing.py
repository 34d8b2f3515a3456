"""How images of other sizes are brought to one size. Nothing here happens unless it is asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Self, get_args

import numpy as np
from PIL import Image

from ganserve.contract.card import MAX_IMAGE_SIDE
from ganserve.contract.errors import ConfigError
from ganserve.contract.images import Images, in_channels
from ganserve.v1.model_pb2 import ModelCard

ResizeMode = Literal["stretch", "crop", "pad"]


@dataclass(frozen=True, kw_only=True)
class Resize:
    """A size in pixels, and the way to it.

    `stretch` scales both sides and so may distort; `crop` first cuts the centre out to the new aspect; `pad` shrinks
    what is too large, never enlarges, and centres it on black. Scaling is Lanczos.
    """

    height: int
    width: int
    mode: ResizeMode = "stretch"

    def __post_init__(self) -> None:
        if not (1 <= self.height <= MAX_IMAGE_SIDE and 1 <= self.width <= MAX_IMAGE_SIDE):
            raise ConfigError(f"--size {self.height}x{self.width}: a side is 1 to {MAX_IMAGE_SIDE} pixels")

    @classmethod
    def parse(cls, size: str, mode: ResizeMode = "stretch") -> Self:
        """Reads `32`, or `32x48` as height by width. Raises ConfigError."""
        match = re.fullmatch(r"(\d{1,5})(?:[x×](\d{1,5}))?", size.strip(), re.ASCII)
        if match is None:
            raise ConfigError(f"--size {size}: give one side, such as 32, or height and width, such as 32x48")
        height = int(match[1])
        return cls(height=height, width=int(match[2] or height), mode=mode)

    def apply(self, image: Image.Image) -> Image.Image:
        """`image`, of mode L or RGB, at this size."""
        size = (self.width, self.height)
        if image.size == size:
            return image
        if self.mode == "pad":
            return self._on_black(image)
        box = self._centre(image) if self.mode == "crop" else None
        return image.resize(size, Image.Resampling.LANCZOS, box=box)

    def _centre(self, image: Image.Image) -> tuple[float, float, float, float]:
        """The largest box of the new aspect in the middle of `image`: left, top, right, bottom."""
        scale = min(image.width / self.width, image.height / self.height)
        left, top = (image.width - scale * self.width) / 2, (image.height - scale * self.height) / 2
        return left, top, image.width - left, image.height - top

    def _on_black(self, image: Image.Image) -> Image.Image:
        scale = min(1.0, self.width / image.width, self.height / image.height)
        width, height = (max(1, round(side * scale)) for side in image.size)
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.LANCZOS)
        canvas = Image.new(image.mode, (self.width, self.height))
        canvas.paste(image, ((self.width - width) // 2, (self.height - height) // 2))
        return canvas


def resize_array(pixels: np.ndarray, resize: Resize) -> np.ndarray:
    """One image uint8 (H, W, 1 or 3) as uint8 (height, width, 1 or 3)."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    return np.asarray(resize.apply(image), dtype=np.uint8).reshape(resize.height, resize.width, -1)


def fitted(image: Images, card: ModelCard) -> Images:
    """An image uint8 (H, W, 1 or 3) as a scorer was shown its own: in its channels, and brought to its size alike."""
    taken = card.inputs[0].shape
    array = in_channels(image, taken.channels)
    if array.shape[:2] == (taken.height, taken.width):
        return array
    return resize_array(array, Resize(height=taken.height, width=taken.width, mode=_mode_of(card)))


def _mode_of(card: ModelCard) -> ResizeMode:
    """How the images that a model was trained on were brought to its size."""
    known = dict(card.training_config).get("resize_mode")
    return next((mode for mode in get_args(ResizeMode) if mode == known), "stretch")
