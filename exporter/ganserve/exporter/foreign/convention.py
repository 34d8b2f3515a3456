"""What the user tells of a foreign generator, since its file does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from ganserve.contract.card import UNKNOWN
from ganserve.contract.errors import ConfigError

Layout = Literal["nchw", "nhwc"]
LabelsAs = Literal["index", "one-hot"]
Channels = Literal["all", "rgb"]
Noise = Literal["refuse", "zero"]

_LARGEST_SIDE: Final = 1024
"""Of the images that a model is run at. It is tried on nine times as much."""


@dataclass(frozen=True, kw_only=True)
class Convention:
    """What a foreign generator's file does not say of itself."""

    latents: tuple[str, ...] = ()
    """Names of the inputs that are latents; of several, each is a slice of our one latent, in this order. Empty takes
    the only float input that is nothing else."""
    uniform_latents: tuple[float, float] | None = None
    """The bounds between which its latents are drawn uniformly; None where they are standard normal."""
    labels_as: LabelsAs = "index"
    """How it takes a label: as a number, or as a vector with a one at the label's place."""
    mask: str = ""
    """Name of the input that is an inpainting model's mask; empty where it takes none."""
    size: tuple[int, int] | None = None
    """Height and width of the images that it takes, where the file leaves them open."""
    input_range: tuple[float, float] | None = None
    """The values of black and white in the images that it takes; None where they are those that it makes."""
    class_names: tuple[str, ...] = ()
    """In label order; empty where it takes no label."""
    constants: Mapping[str, float] = field(default_factory=dict)
    """Values of inputs that are neither latents nor labels, by name; all elements of the input get the value."""
    noise: Noise = "refuse"
    """What becomes of noise that is drawn inside the graph; zero puts the mean of its distribution in its place."""
    output: str = ""
    """Name of the output that is the images; empty where there is only one."""
    layout: Layout = "nchw"
    """Order of the axes of its images."""
    image: tuple[int, int, int] | None = None
    """Height, width and channels of an image, where its images are flat."""
    channels: Channels = "all"
    """The channels that are served; rgb drops the fourth one of RGBA."""
    value_range: tuple[float, float] = (-1.0, 1.0)
    """The values of black and white, where its images are floats."""
    architecture: str = UNKNOWN
    """Network family, for the card."""
    dataset: str = UNKNOWN
    """Name of the images that it was trained on, for the card."""

    def check(self) -> None:
        """Raises ConfigError where a value can be used with no file."""
        self.level_scale(is_uint8=False)
        self.input_scale()
        self.latent_middle_and_half()
        if self.size is not None and not 1 <= min(self.size) <= max(self.size) <= _LARGEST_SIDE:
            raise ConfigError(
                f"--size is {'x'.join(map(str, self.size))}; give height and width, as in 256x256, of up to "
                f"{_LARGEST_SIDE:,} a side: larger images are cut into tiles"
            )
        if self.image is not None and min(self.image) < 1:
            raise ConfigError(f"--image is {'x'.join(map(str, self.image))}; give height, width and channels")

    def level_scale(self, *, is_uint8: bool) -> tuple[np.float32, np.float32]:
        """Scale and offset from its values to 0 … 255, with half a level on top, as casting to uint8 cuts off.

        Raises:
            ConfigError: the value range is none.
        """
        if is_uint8:
            return np.float32(1), np.float32(0.5)
        black, white = self.value_range
        with np.errstate(all="ignore"):
            scale = np.float32(255) / np.float32(white - black)
            offset = np.float32(0.5) - np.float32(black) * scale
        if not (np.isfinite(scale) and np.isfinite(offset) and scale):
            raise ConfigError(f"--value-range is {black:g} {white:g}; black and white must be two finite values")
        return scale, offset

    def input_scale(self) -> tuple[np.float32, np.float32]:
        """Scale and offset from 0 … 255 to the values that it takes. Raises ConfigError where the range is none."""
        black, white = self.input_range or self.value_range
        with np.errstate(all="ignore"):
            scale, offset = np.float32(white - black) / np.float32(255), np.float32(black)
        if not (np.isfinite(scale) and np.isfinite(offset) and scale):
            raise ConfigError(f"--input-range is {black:g} {white:g}; black and white must be two finite values")
        return scale, offset

    def latent_middle_and_half(self) -> tuple[np.float32, np.float32]:
        """Middle of the uniform latents and half of their range. Raises ConfigError where the bounds are none."""
        low, high = self.uniform_latents or (-1.0, 1.0)
        with np.errstate(all="ignore"):
            middle, half = np.float32((low + high) / 2), np.float32((high - low) / 2)
        if not (np.isfinite(middle) and np.isfinite(half) and half > 0):
            raise ConfigError(f"--latents-distribution is uniform {low:g} {high:g}; give a lower and a higher bound")
        return middle, half
