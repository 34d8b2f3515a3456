"""The routes, behind the gate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from ganserve.contract.errors import NotFoundError
from ganserve.serving.access import Access
from ganserve.serving.answers import Answers
from ganserve.serving.counted_call import CallObserver
from ganserve.serving.health import Health
from ganserve.serving.metrics import Metrics

from .endpoints import Models, Pictures, Probes
from .gate import HttpGate, count_as
from .image_requests import SCORE_PATH, TRANSFORM_PATH, ImageRequests
from .page_files import page_routes
from .pictures import INTERPOLATIONS_PATH, SAMPLES_PATH

_LONGEST_TOLD: Final = 80


def build_app(
    answers: Answers,
    metrics: Metrics,
    health: Health,
    grpc_address: Callable[[], str],
    *,
    access: Access | None = None,
    observers: Sequence[CallObserver] = (),
    max_calls: int,
    stall_s: float,
) -> HttpGate:
    """All that the HTTP port answers.

    Args:
        answers: of all models.
        metrics: shown, and counted into.
        health: whether the server is ready.
        grpc_address: where the same server listens for gRPC, as clients write it.
        access: see `HttpGate`.
        observers: see `HttpGate`.
        max_calls: see `HttpGate`.
        stall_s: see `HttpGate`.
    """
    pictures, models, probes = Pictures(answers), Models(answers, grpc_address), Probes(metrics, health)
    images = ImageRequests(answers)
    handlers: dict[str, Any] = {
        "/metrics": probes.metrics,
        "/livez": probes.livez,
        "/readyz": probes.readyz,
        "/v1/models": models.all,
        "/v1/models/{model}": models.one,
        SAMPLES_PATH: pictures.samples,
        INTERPOLATIONS_PATH: pictures.interpolation,
        **page_routes(),
    }
    routes = [Route(path, count_as(metrics, path, handle)) for path, handle in handlers.items()]
    sent_to: dict[str, Any] = {TRANSFORM_PATH: images.transform, SCORE_PATH: images.score}
    routes += [Route(path, count_as(metrics, path, handle), methods=["POST"]) for path, handle in sent_to.items()]
    router = Router(routes, redirect_slashes=False, default=_not_found)
    return HttpGate(router, metrics, access=access, observers=observers, max_calls=max_calls, stall_s=stall_s)


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
    path = str(scope["path"])[:_LONGEST_TOLD]
    raise NotFoundError(f"there is nothing at {path!r}; /v1/models lists the models, and / shows their samples")
