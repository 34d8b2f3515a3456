"""From images of any size to queries that a scorer answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, get_args

import numpy as np

from ganserve.contract.card import is_scorer, kind_of
from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.images import Images
from ganserve.contract.resizing import Resize, ResizeMode, resize_array
from ganserve.v1.generator_pb2 import InputImages, ModelSelector, SampleQuery
from ganserve.v1.model_pb2 import ModelCard

from .input_images import ImageLike, check_many, in_channels, read_input
from .requests import named

_AT_ONCE: Final = 256


def score_queries(model: ModelSelector, card: ModelCard, images: Iterable[ImageLike]) -> Iterator[SampleQuery]:
    """Queries for the scores of all images, in order, some 256 of them each.

    Raises:
        InvalidRequestError: the model is no scorer, or an image cannot be read; the field names its position.
    """
    if not is_scorer(card):
        raise InvalidRequestError(f"this model is a {kind_of(card)}; give the name of a scorer", field="model")
    check_many(images)
    numbered = enumerate(images)
    while some := list(islice(numbered, _AT_ONCE)):
        pixels = np.stack([_fitted(image, place, card) for place, image in some])
        sent = InputImages(shape=card.inputs[0].shape, pixels=pixels.tobytes())
        yield SampleQuery(model=named(model), images=sent)


def _fitted(image: ImageLike, place: int, card: ModelCard) -> Images:
    """An image as the model was shown its own: in its channels, and brought to its size in the same way."""
    taken = card.inputs[0].shape
    try:
        array = in_channels(read_input(image), taken.channels)
    except InvalidRequestError as error:
        raise InvalidRequestError(str(error), field=f"images[{place}]") from error
    if array.shape[:2] == (taken.height, taken.width):
        return array
    return resize_array(array, Resize(height=taken.height, width=taken.width, mode=_mode_of(card)))


def _mode_of(card: ModelCard) -> ResizeMode:
    """How the images that the model was trained on were brought to its size."""
    known = dict(card.training_config).get("resize_mode")
    return next((mode for mode in get_args(ResizeMode) if mode == known), "stretch")
