"""Real and synthetic images in one form, so that nothing but what they show tells them apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ganserve.client._queries.checks import whole_number
from ganserve.contract.errors import ConfigError, DatasetError
from ganserve.contract.images import Images

from ._images import Presentation, Transform, from_pixels, resized, to_pixels

SizeLike = int | tuple[int, int] | Literal["transform"]


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """What is done to images of either kind.

    Attributes:
        presentation: form and transform of both.
        own_shape: height, width and channels of the generator's images.
        size: height and width that both are brought to; None for the generator's own, which real ones have to have.
        any_size: whether the transform sees to sizes.
        channels: of both; None for the generator's own.
        synthetic_transform: makes of a synthetic image what the real data set gives, which is then taken as it is.
    """

    presentation: Presentation
    own_shape: tuple[int, int, int]
    size: tuple[int, int] | None
    any_size: bool
    channels: int | None
    synthetic_transform: Transform | None

    @classmethod
    def choose(
        cls,
        presentation: Presentation,
        own_shape: tuple[int, int, int],
        resize: SizeLike | None,
        channels: int | None,
        synthetic_transform: Transform | None,
    ) -> Fitting:
        """Raises ConfigError or InvalidRequestError for a size, channels or a transform that cannot be."""
        if channels not in (None, 1, 3):
            raise ConfigError(f"channels is {channels!r}; give 1, for grey images, or 3")
        if synthetic_transform is not None and not callable(synthetic_transform):
            raise ConfigError(
                f"synthetic_transform is {synthetic_transform!r}; give something that is called with an image"
            )
        return cls(
            presentation=presentation,
            own_shape=own_shape,
            size=None if resize in (None, "transform") else _check_size(resize),
            any_size=resize == "transform",
            channels=channels,
            synthetic_transform=synthetic_transform,
        )

    def synthetic(self, pixels: Images) -> Any:
        """A synthetic image as an item has it, from uint8 (H, W, C)."""
        pixels = resized(pixels, self.size, self.channels)
        if self.synthetic_transform is None:
            return self.presentation.present(pixels)
        return self._transformed(self.synthetic_transform(from_pixels(pixels, self.presentation.images)))

    def real(self, image: Any, place: int) -> Any:
        """A real image as an item has it. Raises DatasetError where it does not go with the synthetic ones."""
        if self.synthetic_transform is not None:
            return self._transformed(image)
        pixels = resized(to_pixels(image, f"real image {place}"), self.size, self.channels)
        self._check(pixels, place)
        return self.presentation.present(pixels)

    def check_alike(self, real: Any, pixels: Images) -> None:
        """Raises DatasetError where `synthetic_transform` makes something else than the real data set gives."""
        kinds = [_describe(image) for image in (self.real(real, 0), self.synthetic(pixels))]
        if kinds[0] != kinds[1]:
            raise DatasetError(
                f"real images are {kinds[0]}, and synthetic ones, behind synthetic_transform, {kinds[1]}; they have to "
                "be the same"
            )

    def _transformed(self, image: Any) -> Any:
        change = self.presentation.transform
        return image if change is None else change(image)

    def _check(self, pixels: Images, place: int) -> None:
        height, width, own_channels = self.own_shape
        wanted = self.channels or own_channels
        if pixels.shape[2] != wanted:
            raise DatasetError(
                f"real image {place} has {pixels.shape[2]} channels, and the generator makes images of {wanted}; give "
                "channels=3 for colour, or channels=1 for grey, and both are brought to it"
            )
        if self.size is None and not self.any_size and pixels.shape[:2] != (height, width):
            raise DatasetError(
                f"real image {place} is {pixels.shape[0]}×{pixels.shape[1]}, and the generator makes {height}×{width}; "
                f"give a size for both, as in resize=({height}, {width}), or resize='transform' where the transform "
                "brings all images to one size"
            )


def _describe(image: Any) -> str:
    shape, dtype = getattr(image, "shape", getattr(image, "size", "")), getattr(image, "dtype", "")
    return f"a {type(image).__name__} {tuple(shape)} {dtype}".strip()


def _check_size(resize: Any) -> tuple[int, int]:
    if isinstance(resize, int):
        resize = (resize, resize)
    if not isinstance(resize, (tuple, list)) or len(resize) != 2:
        raise ConfigError(f"resize is {resize!r}; give (height, width), a side of a square, or 'transform'")
    height, width = (whole_number(side, "a side of resize", low=1, high=2**14, field="resize") for side in resize)
    return height, width
