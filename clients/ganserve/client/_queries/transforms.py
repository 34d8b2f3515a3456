"""From images of any size to queries that a translator answers, and from its samples to images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count, islice, repeat
from typing import Final

import numpy as np

from ganserve.contract.card import is_translator, kind_of
from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.images import Images
from ganserve.contract.tiling import TiledImage
from ganserve.v1.generator_pb2 import ImageEncoding, InputImages, LabelPolicy, ModelSelector, SampleQuery
from ganserve.v1.model_pb2 import ModelCard

from .input_images import ImageLike, check_many, read_input
from .requests import checked_seed, named

_TILES_AT_ONCE: Final = 256


@dataclass(frozen=True, eq=False)
class Batch:
    """Some images in a row, as one query.

    Attributes:
        query: for all their tiles.
    """

    query: SampleQuery
    _parts: list[TiledImage]

    def images(self, made: Images) -> Iterator[Images]:
        """The images, in order, from the transformed tiles (N, height, width, channels)."""
        start = 0
        for tiled in self._parts:
            yield tiled.join(made[start : start + tiled.num_tiles])
            start += tiled.num_tiles


def batches(
    model: ModelSelector,
    card: ModelCard,
    images: Iterable[ImageLike],
    masks: Iterable[ImageLike] | None,
    labels: LabelPolicy | None,
    seed: int | None,
    indices: Iterable[int] | None = None,
) -> Iterator[Batch]:
    """Queries for the tiles of all images, in order; each holds whole images, and no more than it must.

    For a model that takes latents too, those of one index of the seed go with all tiles of an image: its position,
    unless `indices` say another.

    Raises:
        InvalidRequestError: the model is no translator, takes a mask or latents that are not given or the other way
            round, or an image cannot be read or transformed by it; the field names its position.
    """
    _check_model(card, has_masks=masks is not None, has_seed=seed is not None)
    seed = checked_seed(seed) if card.latent_dim else None
    index_of_image = count() if indices is None else iter(indices)
    parts: list[TiledImage] = []
    tiles: list[Images] = []
    mask_tiles: list[Images] = []

    def whole() -> Batch:
        sent = InputImages(
            shape=card.inputs[0].shape,
            pixels=np.concatenate(tiles).tobytes(),
            mask_pixels=np.concatenate(mask_tiles).tobytes() if mask_tiles else b"",
        )
        query = SampleQuery(model=named(model), images=sent, labels=labels, encoding=ImageEncoding())
        if seed is not None:
            query.address.seed = seed
            query.address.indices.extend(
                index
                for index, tiled in zip(islice(index_of_image, len(parts)), parts, strict=True)
                for _ in range(tiled.num_tiles)
            )
        return Batch(query, [*parts])

    for place, (image, mask) in enumerate(_pairs(images, masks)):
        try:
            array = read_input(image)
            tiled = TiledImage.of(array, card)
            if mask is not None:
                mask_tiles.append(tiled.mask_tiles(_mask(mask, array.shape[:2])))
        except InvalidRequestError as error:
            raise InvalidRequestError(str(error), field=f"images[{place}]") from error
        parts.append(tiled)
        tiles.append(tiled.tiles())
        if sum(map(len, tiles)) >= _TILES_AT_ONCE:
            yield whole()
            parts, tiles, mask_tiles = [], [], []
    if parts:
        yield whole()


def _check_model(card: ModelCard, *, has_masks: bool, has_seed: bool) -> None:
    if not is_translator(card):
        raise InvalidRequestError(f"this model is a {kind_of(card)}; give the name of a translator", field="model")
    if has_seed and not card.latent_dim:
        raise InvalidRequestError(
            "this model takes no latents, so that a seed changes nothing; leave it out", field="seed"
        )
    takes_masks = len(card.inputs) > 1
    if takes_masks != has_masks:
        told = "takes a mask with each image" if takes_masks else "takes no masks"
        raise InvalidRequestError(f"this model {told}", field="masks")


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
    array = read_input(mask)
    if array.shape != (*size, 1):
        raise InvalidRequestError(
            f"the mask is {'×'.join(map(str, array.shape))}, and its image is {size[0]}×{size[1]}; give one of that "
            "size in greyscale"
        )
    return array
