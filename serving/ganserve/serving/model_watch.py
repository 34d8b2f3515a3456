"""Whether the models that are served can still run: in the server's health, in its log, and for their callers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from grpc_health.v1.health import OVERALL_HEALTH
from grpc_health.v1.health_pb2 import HealthCheckResponse

from ganserve.contract.errors import UnavailableError
from ganserve.contract.text import one_line

from .catalogue import Entry
from .health import Health
from .model import Model
from .repository import Repository

_CHECK_EVERY_S: Final = 1.0
_FAILURES_TO_DOUBT: Final = 3

_log = logging.getLogger(__name__)


class ModelWatch:
    """Looks after models whose runs fail in a row.

    The rows of a caller may be at fault, so such a model is given a row of zeros. While it fails on that too, it is
    NOT_SERVING and its callers are sent elsewhere; it is tried again and again, and serves when it succeeds.

    Health knows each model as `<service>/<name>:<version>`, those that were refused included. Each service and the
    server as a whole are NOT_SERVING when not one model can run.
    """

    def __init__(self, repository: Repository, health: Health, *services: str) -> None:
        self._repository = repository
        self._health = health
        self._services = services
        self._told: set[str] = set()
        self._serving = False

    def start(self) -> None:
        """Says SERVING for the service and its models."""
        self._serving = True
        self._tell()

    def stop(self) -> None:
        """Says NOT_SERVING for all, for good."""
        self._serving = False
        self._tell()

    def check(self, model: Model) -> None:
        """Raises UnavailableError where a model fails to run."""
        if model.fault:
            raise UnavailableError(f"{model.fault}; ask another server", retry_after_s=_CHECK_EVERY_S)

    async def run(self) -> None:
        """Looks after the models until it is cancelled."""
        while True:
            await self._repository.changed_within(_CHECK_EVERY_S)
            for model in list(self._repository):
                if model.fault or model.loaded.engine.num_failures >= _FAILURES_TO_DOUBT:
                    await self._try(model)
            self._tell()

    async def _try(self, model: Model) -> None:
        """Runs a model, which is not freed meanwhile."""
        try:
            with model.in_use:
                await asyncio.to_thread(model.loaded.engine.probe)
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors have no common base but Exception
            if not model.fault:
                _log.error("%s fails to run, and is not served until it does: %s", model.title, one_line(error))
            model.fault = f"{model.title} fails to run on this server, whose log says why"
        else:
            if model.fault:
                model.fault = ""
                _log.info("%s runs again, and is served", model.title)

    def _tell(self) -> None:
        runs = {entry.title: self._serving and _runs(entry) for entry in self._repository.entries}
        self._set((OVERALL_HEALTH, *self._services), any(runs.values()))
        services = {f"{service}/{title}": is_ok for service in self._services for title, is_ok in runs.items()}
        for service, is_ok in services.items():
            self._set((service,), is_ok)
        self._health.forget(self._told - services.keys())
        self._told = set(services)
        for model in self._repository:
            model.metrics.is_serving = runs[model.title]

    def _set(self, services: Iterable[str], is_serving: bool) -> None:
        self._health.set(services, HealthCheckResponse.SERVING if is_serving else HealthCheckResponse.NOT_SERVING)


def _runs(entry: Entry) -> bool:
    return entry.model is not None and not entry.model.fault
