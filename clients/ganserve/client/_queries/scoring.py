"""From images of any size to queries that a scorer answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

import numpy as np

from ganserve.contract.card import check_kind
from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.images import Images
from ganserve.contract.resizing import fitted
from ganserve.v1.generator_pb2 import InputImages, ModelSelector, SampleQuery
from ganserve.v1.model_pb2 import ModelCard

from .input_images import ImageLike, check_many, read_input, told_of
from .requests import named

_AT_ONCE: Final = 256


def score_queries(model: ModelSelector, card: ModelCard, images: Iterable[ImageLike]) -> Iterator[SampleQuery]:
    """Queries for the scores of all images, in order, some 256 of them each.

    Raises:
        InvalidRequestError: the model is no scorer, or an image cannot be read; the field names its position.
    """
    check_kind(card, "scorer", field="model")
    check_many(images)
    numbered = enumerate(images)
    while some := list(islice(numbered, _AT_ONCE)):
        pixels = np.stack([_fitted(image, place, card) for place, image in some])
        sent = InputImages(shape=card.inputs[0].shape, pixels=pixels.tobytes())
        yield SampleQuery(model=named(model), images=sent)


def _fitted(image: ImageLike, place: int, card: ModelCard) -> Images:
    try:
        return fitted(read_input(image), card)
    except InvalidRequestError as error:
        raise InvalidRequestError(told_of(image, error), field=f"images[{place}]") from error
