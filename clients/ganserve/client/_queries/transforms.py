"""From images of any size to queries that a translator answers, and from its samples to images."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count, repeat
from typing import Final, get_args

import numpy as np

from ganserve.contract.card import check_kind
from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.images import Images
from ganserve.contract.resizing import Resize, ResizeMode, resize_array
from ganserve.contract.tiling import TiledImage
from ganserve.v1.generator_pb2 import ImageEncoding, InputImages, LabelPolicy, ModelSelector, SampleQuery
from ganserve.v1.model_pb2 import ModelCard

from .input_images import ImageLike, check_many, read_input, told_of
from .requests import checked_seed, named

_TILES_AT_ONCE: Final = 256


@dataclass(frozen=True, eq=False)
class Batch:
    """Some tiles in a row, as one query.

    Attributes:
        query: for the tiles.
    """

    query: SampleQuery
    _joiner: _Joiner

    def images(self, made: Images) -> Iterator[Images]:
        """The images, in order, that are whole with these transformed tiles (N, height, width, channels)."""
        return self._joiner.add(made)


class _Joiner:
    """Puts images together as their tiles come in, in order."""

    def __init__(self) -> None:
        self._expected: deque[TiledImage] = deque()
        self._made: list[Images] = []

    def expect(self, image: TiledImage) -> None:
        """Its tiles follow those of the images before."""
        self._expected.append(image)

    def add(self, made: Images) -> Iterator[Images]:
        """Takes tiles, and gives the images that are whole with them."""
        self._made.append(made)
        while self._expected and sum(map(len, self._made)) >= self._expected[0].num_tiles:
            image = self._expected.popleft()
            tiles = np.concatenate(self._made)
            self._made = [tiles[image.num_tiles :]]
            yield image.join(tiles[: image.num_tiles])


class _Tiles:
    """Tiles that wait to be asked for, each with its mask and its index, where the model takes those."""

    def __init__(self) -> None:
        self._parts: list[tuple[Images, Images | None, int]] = []

    def __len__(self) -> int:
        return sum(len(tiles) for tiles, _, _ in self._parts)

    def add(self, image: TiledImage, mask: Images | None, index: int) -> None:
        """All tiles of an image."""
        self._parts.append((image.tiles(), None if mask is None else image.mask_tiles(mask), index))

    def take(self, most: int) -> tuple[Images, Images | None, list[int]]:
        """The first tiles, of which there is one at least, with their masks and indices."""
        taken: list[tuple[Images, Images | None, int]] = []
        while self._parts and most:
            tiles, masks, index = self._parts.pop(0)
            taken.append((tiles[:most], None if masks is None else masks[:most], index))
            if len(tiles) > most:
                self._parts.insert(0, (tiles[most:], None if masks is None else masks[most:], index))
            most -= len(taken[-1][0])
        masks_taken = [masks for _, masks, _ in taken if masks is not None]
        return (
            np.concatenate([tiles for tiles, _, _ in taken]),
            np.concatenate(masks_taken) if masks_taken else None,
            [index for tiles, _, index in taken for _ in range(len(tiles))],
        )


def batches(
    model: ModelSelector,
    card: ModelCard,
    images: Iterable[ImageLike],
    masks: Iterable[ImageLike] | None,
    labels: LabelPolicy | None,
    seed: int | None,
    indices: Iterable[int] | None = None,
    resize: ResizeMode | None = None,
) -> Iterator[Batch]:
    """Queries for the tiles of all images, in order, some 256 each.

    For a model that takes latents too, those of one index of the seed go with all tiles of an image: its position,
    unless `indices` say another.

    With `resize`, images and masks of other sizes are brought to the model's in that way.

    Raises:
        InvalidRequestError: the model is no translator, takes a mask or latents that are not given or the other way
            round, or an image cannot be read or transformed by it, after those before it have come; the field names its
            position.
    """
    _check_model(card, has_masks=masks is not None, has_seed=seed is not None)
    seed = checked_seed(seed) if card.latent_dim else None
    to_size = None if resize is None else _resize_to(card, resize)
    index_of_image = count() if indices is None else iter(indices)
    joiner, waiting = _Joiner(), _Tiles()

    def next_batch() -> Batch:
        tiles, mask_tiles, of_tiles = waiting.take(_TILES_AT_ONCE)
        sent = InputImages(
            shape=card.inputs[0].shape,
            pixels=tiles.tobytes(),
            mask_pixels=b"" if mask_tiles is None else mask_tiles.tobytes(),
        )
        query = SampleQuery(model=named(model), images=sent, labels=labels, encoding=ImageEncoding())
        if seed is not None:
            query.address.seed = seed
            query.address.indices.extend(of_tiles)
        return Batch(query, joiner)

    for place, (image, mask) in enumerate(_pairs(images, masks)):
        field = f"images[{place}]"
        try:
            array = read_input(image)
            tiled = TiledImage.of(_brought(array, to_size), card)
            field = f"masks[{place}]"
            mask_of_image = None if mask is None else _brought(_mask(mask, array.shape[:2]), to_size)
        except InvalidRequestError as error:
            while len(waiting):
                yield next_batch()
            raise InvalidRequestError(told_of(image, error), field=field) from error
        joiner.expect(tiled)
        waiting.add(tiled, mask_of_image, next(index_of_image))
        while len(waiting) >= _TILES_AT_ONCE:
            yield next_batch()
    while len(waiting):
        yield next_batch()


def _check_model(card: ModelCard, *, has_masks: bool, has_seed: bool) -> None:
    check_kind(card, "translator", field="model")
    if has_seed and not card.latent_dim:
        raise InvalidRequestError(
            "this model takes no latents, so that a seed changes nothing; leave it out", field="seed"
        )
    takes_masks = len(card.inputs) > 1
    if takes_masks != has_masks:
        told = "takes a mask with each image" if takes_masks else "takes no masks"
        raise InvalidRequestError(f"this model {told}", field="masks")


def _resize_to(card: ModelCard, mode: ResizeMode) -> Resize:
    if card.HasField("halo"):
        raise InvalidRequestError("this model takes images of any size, in tiles; leave resize out", field="resize")
    if mode not in get_args(ResizeMode):
        raise InvalidRequestError(f"resize={mode!r}: give {' or '.join(get_args(ResizeMode))}", field="resize")
    taken = card.inputs[0].shape
    return Resize(height=taken.height, width=taken.width, mode=mode)


def _brought(image: Images, to_size: Resize | None) -> Images:
    return image if to_size is None else resize_array(image, to_size)


def _pairs(
    images: Iterable[ImageLike], masks: Iterable[ImageLike] | None
) -> Iterator[tuple[ImageLike, ImageLike | None]]:
    check_many(images)
    if masks is None:
        yield from zip(images, repeat(None))
        return
    try:
        yield from zip(images, masks, strict=True)
    except ValueError:
        raise InvalidRequestError("there are more images than masks, or fewer", field="masks") from None


def _mask(mask: ImageLike, size: tuple[int, ...]) -> Images:
    """uint8 (height, width, 1), above 127 where the image is to be made anew; one of bools is taken too."""
    if isinstance(mask, np.ndarray) and mask.dtype == np.bool_:
        mask = mask.astype(np.uint8) * 255
    array = read_input(mask)
    if array.shape != (*size, 1):
        raise InvalidRequestError(
            f"the mask is {'×'.join(map(str, array.shape))}, and its image is {size[0]}×{size[1]}; give one of that "
            "size in greyscale"
        )
    if array.max() == 1:
        raise InvalidRequestError("the mask has no value but 0 and 1; give 0 and 255, or bools")
    return array
