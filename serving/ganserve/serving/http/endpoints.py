"""What each URL answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from google.protobuf.json_format import MessageToDict
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from ganserve.contract.bundle import LABELS_INPUT
from ganserve.contract.errors import UnavailableError
from ganserve.serving.answers import Answer, Answers
from ganserve.serving.health import Health
from ganserve.serving.metrics import Metrics
from ganserve.v1.generator_pb2 import ModelSelector
from ganserve.v1.model_pb2 import ModelCard, ServedModel

from .caching import cache_headers, has_current
from .callers import caller_of, in_time
from .gate import when_sent
from .pictures import Picture, read_interpolation, read_samples, read_selector

_NO_STORE: Final = {"cache-control": "no-store"}
_NO_CACHE: Final = {"cache-control": "no-cache"}

ReadPicture: TypeAlias = Callable[[Request, ModelSelector, ModelCard], Picture]


class Pictures:
    """Samples as image files."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    async def samples(self, request: Request) -> Response:
        """One sample, or several in a grid."""
        return await self._answer(request, read_samples)

    async def interpolation(self, request: Request) -> Response:
        """The samples on the way from one address to another."""
        return await self._answer(request, read_interpolation)

    async def _answer(self, request: Request, read: ReadPicture) -> Response:
        selector = read_selector(request.path_params["model"])
        model = self._answers.find(selector, field="query.model")
        picture = read(request, selector, model.card)
        is_pinned = bool(selector.digest)
        media_type = f"image/{picture.form.name}"

        # Without a run, where the client has the picture or wants to know of it alone.
        headers = cache_headers(picture, model, is_pinned=is_pinned)
        is_current = has_current(request, headers["etag"])
        if is_current or request.method == "HEAD":
            self._answers.check(picture.query)
            return _bare(Response(status_code=304 if is_current else 200, headers=headers, media_type=media_type))

        answer, data = await self._make(request, picture)
        headers = cache_headers(picture, answer.model, is_pinned=is_pinned)
        return Response(data, headers=headers | _label_of(answer), media_type=media_type)

    async def _make(self, request: Request, picture: Picture) -> tuple[Answer, bytes]:
        caller = caller_of(request)
        async with in_time(request):
            answer = await self._answers.samples(picture.query, caller, when_sent(request.scope))
            data = await self._answers.draw(answer, picture.layout.columns, picture.layout.gap)
            caller.stopwatch.mark_encoded()
            return answer, data


class Models:
    """What the models are."""

    def __init__(self, answers: Answers, grpc_address: Callable[[], str]) -> None:
        self._answers = answers
        self._grpc_address = grpc_address

    async def all(self, request: Request) -> Response:  # noqa: ARG002
        """All models, and the port at which the same samples are had over gRPC, where it is one, and whether by TLS."""
        models = [_as_json(model) for model in self._answers.models()]
        address = self._grpc_address()
        port = None if address.startswith("unix:") else int(address.rpartition(":")[2])
        told = {"models": models, "grpc_port": port, "grpc_tls": address.startswith("grpcs://")}
        return JSONResponse(told, headers=_NO_CACHE)

    async def one(self, request: Request) -> Response:
        """One model."""
        selector = read_selector(request.path_params["model"])
        return JSONResponse(_as_json(self._answers.model(selector, field="query.model")), headers=_NO_CACHE)


class Probes:
    """What is asked by those who look after the server."""

    def __init__(self, metrics: Metrics, health: Health) -> None:
        self._metrics = metrics
        self._health = health

    async def livez(self, request: Request) -> Response:  # noqa: ARG002
        """That the event loop runs."""
        return PlainTextResponse("alive\n", headers=_NO_STORE)

    async def readyz(self, request: Request) -> Response:  # noqa: ARG002
        """Whether at least one model takes requests, and the server is not stopping."""
        if not self._health.is_serving:
            raise UnavailableError("no model takes requests: they load, fail to run, or the server is stopping")
        return PlainTextResponse("ready\n", headers=_NO_STORE)

    async def metrics(self, request: Request) -> Response:
        """All metrics, in the form of Prometheus or OpenMetrics."""
        write, media_type = choose_encoder(request.headers.get("accept", ""))
        text = await asyncio.to_thread(write, self._metrics.registry)
        return Response(text, headers=_NO_STORE | {"content-type": media_type})


def _label_of(answer: Answer) -> dict[str, str]:
    """The label of a sample alone, which is the server's choice where the URL names no class."""
    labels = answer.made.rows.columns.get(LABELS_INPUT)
    return {} if labels is None or len(labels) != 1 else {"ganserve-label": str(int(labels[0]))}


def _bare(response: Response) -> Response:
    """Without the length of a body that is not there."""
    if "content-length" in response.headers:
        del response.headers["content-length"]
    return response


def _as_json(model: ServedModel) -> dict[str, Any]:
    return MessageToDict(model, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
