"""An image as tiles of the one shape that a translator takes, and put together again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ganserve.contract.card import scale_of
from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.images import NUM_RGB, Images, in_channels
from ganserve.v1.model_pb2 import ModelCard


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """Tiles of an image, row by row. Neighbours overlap by twice the halo, of which none is kept.

    Attributes:
        height: of the image.
        width: of the image.
        tile: height and width of a tile.
        halo: pixels on each side of a tile that are not kept.
        scale: pixels of a side that are made of each pixel.
    """

    height: int
    width: int
    tile: tuple[int, int]
    halo: int
    scale: int

    @classmethod
    def of(cls, image: Images, card: ModelCard) -> Tiling:
        """How an image (height, width, channels) is cut for a model.

        Raises:
            InvalidRequestError: the model has to see an image as a whole, and this one has another size than it takes.
        """
        height, width = image.shape[:2]
        tile = (card.inputs[0].shape.height, card.inputs[0].shape.width)
        if not card.HasField("halo") and (height, width) != tile:
            raise InvalidRequestError(
                f"the image is {height}×{width}, and this model takes whole images of {tile[0]}×{tile[1]} alone: it "
                "has to see all of one, or its file fixes their size; resize='crop' brings others to it",
                field="images",
            )
        halo = card.halo if (height, width) != tile else 0
        return cls(height=height, width=width, tile=tile, halo=halo, scale=scale_of(card))

    @property
    def step(self) -> tuple[int, int]:
        """Rows and columns of pixels that a tile gives."""
        return self.tile[0] - 2 * self.halo, self.tile[1] - 2 * self.halo

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return -(-self.height // self.step[0]), -(-self.width // self.step[1])

    @property
    def num_tiles(self) -> int:
        """How many tiles there are."""
        return self.grid[0] * self.grid[1]

    def cut(self, image: Images) -> Images:
        """The tiles (N, tile height, tile width, channels) of an image, which is mirrored beyond its edges."""
        padding = [
            (self.halo, num * step + self.halo - size)
            for num, step, size in zip(self.grid, self.step, (self.height, self.width), strict=True)
        ]
        padded = np.pad(image, (*padding, (0, 0)), mode="reflect" if min(image.shape[:2]) > 1 else "edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.tile, axis=(0, 1))
        tiles = windows[:: self.step[0], :: self.step[1]]
        return np.ascontiguousarray(np.moveaxis(tiles, 2, -1)).reshape(-1, *self.tile, image.shape[2])

    def join(self, tiles: Images) -> Images:
        """The image (scale · height, scale · width, channels) that transformed tiles make."""
        edge, rows, columns = self.halo * self.scale, self.step[0] * self.scale, self.step[1] * self.scale
        inside = tiles[:, edge : edge + rows, edge : edge + columns]
        grid = inside.reshape(*self.grid, rows, columns, -1).swapaxes(1, 2)
        whole = grid.reshape(self.grid[0] * rows, self.grid[1] * columns, -1)
        return whole[: self.height * self.scale, : self.width * self.scale]


@dataclass(frozen=True, eq=False, kw_only=True)
class TiledImage:
    """An image as a translator takes it: tiles of the image, or of each of its channels by itself.

    Attributes:
        planes: one array, or one a channel where a greyscale model is given colours.
        is_grey: whether the image was.
        tiling: how each is cut.
    """

    planes: list[Images]
    is_grey: bool
    tiling: Tiling

    @classmethod
    def of(cls, image: Images, card: ModelCard) -> TiledImage:
        """From uint8 (height, width, 1 or 3). Raises as `Tiling.of` does."""
        is_grey, num_taken = image.shape[2] == 1, card.inputs[0].shape.channels
        if not is_grey and num_taken == 1 and card.image.channels == 1:
            planes = [image[..., channel : channel + 1] for channel in range(NUM_RGB)]
        else:
            planes = [in_channels(image, num_taken)]
        return cls(planes=planes, is_grey=is_grey, tiling=Tiling.of(image, card))

    @property
    def num_tiles(self) -> int:
        """How many tiles there are."""
        return self.tiling.num_tiles * len(self.planes)

    def tiles(self) -> Images:
        """uint8 (N, tile height, tile width, channels)."""
        return np.concatenate([self.tiling.cut(plane) for plane in self.planes])

    def mask_tiles(self, mask: Images) -> Images:
        """The same of its mask, uint8 (height, width, 1)."""
        return np.concatenate([self.tiling.cut(mask)] * len(self.planes))

    def join(self, made: Images) -> Images:
        """The image that transformed tiles make, with as many channels as were given, where the model allows it."""
        size = self.tiling.num_tiles
        whole = [self.tiling.join(made[start : start + size]) for start in range(0, len(made), size)]
        image = np.concatenate(whole, axis=2)
        came_as_rgb = self.is_grey and self.planes[0].shape[2] == NUM_RGB
        return in_channels(image, 1) if came_as_rgb and image.shape[2] == NUM_RGB else image
