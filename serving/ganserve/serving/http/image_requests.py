"""Images that are sent over HTTP: transformed, or scored."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Final

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ganserve.contract import images as codec
from ganserve.contract.card import check_kind, is_conditional, scale_of
from ganserve.contract.errors import ArtifactError, InvalidRequestError
from ganserve.contract.images import FileFormat, Images
from ganserve.contract.resizing import fitted
from ganserve.contract.tiling import TiledImage
from ganserve.serving.answers import Answers
from ganserve.serving.large_requests import LargeRequests
from ganserve.serving.model import Model
from ganserve.v1.generator_pb2 import ImageEncoding, InputImages, LabelPolicy, SampleBatch, SampleQuery
from ganserve.v1.model_pb2 import ModelCard

from .bodies import body_of
from .callers import caller_of, in_time
from .gate import when_sent
from .parameters import Parameters
from .pictures import read_form, read_selector

TRANSFORM_PATH: Final = "/v1/models/{model}/transform"
SCORE_PATH: Final = "/v1/models/{model}/score"

_MOST_PIXELS: Final = 16 * 1024**2
"""Of an image that is sent, and of what is made of it."""
_NO_STORE: Final = {"cache-control": "no-store"}


class ImageRequests:
    """Answers requests whose body is an image file."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._large_requests = LargeRequests()

    async def transform(self, request: Request) -> Response:
        """The image that a translator makes of the one that was sent, of whatever size the model allows."""
        data = await body_of(request.scope)  # before anything is refused: who still sends would not read why
        model = self._answers.find(read_selector(request.path_params["model"]), field="query.model")
        check_kind(model.card, "translator", field="query.model")
        if len(model.card.inputs) > 1:
            raise InvalidRequestError("this model takes a mask beside its image; ask for it over gRPC", field="body")
        parameters = Parameters(request.query_params)
        labels = parameters.take_labels(model.card) if is_conditional(model.card) else None
        asked = read_form(parameters)
        parameters.check_all_taken()
        async with self._large_requests.place_for(data), in_time(request):
            image, form = await asyncio.to_thread(_decode, data, _MOST_PIXELS // scale_of(model.card) ** 2)
            made = await self._transformed(request, model, image, labels)
            form, encoding = asked or (form, ImageEncoding(format=form.number))
            file = await asyncio.to_thread(codec.encode, made, encoding)
        headers = _NO_STORE | {"ganserve-digest": model.identity.digest}
        return Response(file, headers=headers, media_type=f"image/{form.name}")

    async def score(self, request: Request) -> Response:
        """The numbers that a scorer gives the image that was sent, which is brought to its size."""
        data = await body_of(request.scope)
        model = self._answers.find(read_selector(request.path_params["model"]), field="query.model")
        check_kind(model.card, "scorer", field="query.model")
        Parameters(request.query_params).check_all_taken()
        async with self._large_requests.place_for(data), in_time(request):
            image = await asyncio.to_thread(_decode_fitted, data, model.card)
            query = _query(model, image[None], None)
            answer = await self._answers.samples(query, caller_of(request), when_sent(request.scope))
        return JSONResponse(_scores(answer.describe()), headers=_NO_STORE)

    async def _transformed(self, request: Request, model: Model, image: Images, labels: LabelPolicy | None) -> Images:
        """The image that is made of all tiles, a stream of them, which takes no more than its share of the server."""
        try:
            tiled = TiledImage.of(image, model.card)
        except InvalidRequestError as error:
            raise InvalidRequestError(str(error), field="body") from error
        query = _query(model, await asyncio.to_thread(tiled.tiles), labels)
        parts: list[Images] = []
        async with aclosing(self._answers.stream(query, caller_of(request), None)) as answers:
            async for answer in answers:
                assert answer.images is not None  # noqa: S101 - a translator makes images
                parts.append(answer.images)
        return await asyncio.to_thread(lambda: tiled.join(np.concatenate(parts)))


def _query(model: Model, images: Images, labels: LabelPolicy | None) -> SampleQuery:
    """Asks the very model whose card was looked at."""
    query = SampleQuery(labels=labels, images=InputImages(shape=model.card.inputs[0].shape, pixels=images.tobytes()))
    query.model.name, query.model.digest = model.identity.name, model.identity.digest
    return query


def _decode(data: bytes, most_pixels: int) -> tuple[Images, FileFormat]:
    try:
        return codec.decode_photograph(data, most_pixels)
    except ArtifactError as error:
        raise InvalidRequestError(f"{error}; send one PNG, JPEG or WebP file as the body", field="body") from error


def _decode_fitted(data: bytes, card: ModelCard) -> Images:
    image, _ = _decode(data, _MOST_PIXELS)
    return fitted(image, card)


def _scores(batch: SampleBatch) -> dict[str, object]:
    scores = [
        {
            "name": score.name,
            "score": score.values[0],
            "percentile": score.percentiles[0] if score.percentiles else None,
        }
        for score in batch.scores
    ]
    model = {"name": batch.model.name, "version": batch.model.version, "digest": batch.model.digest}
    return {"model": model, "scores": scores}
