"""How images of other sizes are made to fit. Nothing here happens unless it is asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from PIL import Image

from ganserve.contract.card import MAX_IMAGE_SIDE
from ganserve.contract.errors import ConfigError

How = Literal["resize", "crop", "pad"]


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """A size in pixels, and the way to it.

    `resize` scales both sides and so may distort; `crop` first cuts the centre out to the new aspect; `pad` shrinks
    what is too large, never enlarges, and centres it on black. Scaling is Lanczos.
    """

    height: int
    width: int
    how: How = "resize"

    def __post_init__(self) -> None:
        if not (1 <= self.height <= MAX_IMAGE_SIDE and 1 <= self.width <= MAX_IMAGE_SIDE):
            raise ConfigError(f"--size {self.height}x{self.width}: a side is 1 to {MAX_IMAGE_SIDE} pixels")

    @classmethod
    def parse(cls, size: str, how: How = "resize") -> Self:
        """Reads `32`, or `32x48` as height by width. Raises ConfigError."""
        match = re.fullmatch(r"(\d{1,5})(?:[x×](\d{1,5}))?", size.strip(), re.ASCII)
        if match is None:
            raise ConfigError(f"--size {size}: give one side, such as 32, or height and width, such as 32x48")
        height = int(match[1])
        return cls(height=height, width=int(match[2] or height), how=how)

    def apply(self, image: Image.Image) -> Image.Image:
        """`image`, of mode L or RGB, at this size."""
        size = (self.width, self.height)
        if image.size == size:
            return image
        if self.how == "pad":
            return self._on_black(image)
        box = self._centre(image) if self.how == "crop" else None
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


def fit_array(pixels: np.ndarray, fitting: Fitting) -> np.ndarray:
    """One image uint8 (H, W, 1 or 3) as uint8 (height, width, 1 or 3)."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    return np.asarray(fitting.apply(image), dtype=np.uint8).reshape(fitting.height, fitting.width, -1)
