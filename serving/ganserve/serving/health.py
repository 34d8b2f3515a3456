"""`grpc.health.v1.Health`: whether the server serves, and each of its models.

Written anew, since the one of grpcio-health-checking forgets watchers of a service when another of them leaves, and
stops a server that changes a status until every watcher has read it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import OVERALL_HEALTH
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from ganserve.contract.errors import NotFoundError


class Health(health_pb2_grpc.HealthServicer):
    """Statuses by service name. Stands behind a `CallGate` and belongs to one event loop."""

    def __init__(self) -> None:
        self._statuses: dict[str, int] = {}
        self._changed = asyncio.Event()

    def set(self, services: Iterable[str], status: int) -> None:
        """Gives services a status, and tells those who watch them where it is another."""
        changed = [service for service in services if self._statuses.get(service) != status]
        if changed:
            self._statuses.update(dict.fromkeys(changed, status))
            self._changed.set()
            self._changed = asyncio.Event()

    @property
    def is_serving(self) -> bool:
        """Whether the server as a whole serves."""
        return self._statuses.get(OVERALL_HEALTH) == HealthCheckResponse.SERVING

    def forget(self, services: Iterable[str]) -> None:
        """Knows services no more, and tells those who watch them."""
        known = [service for service in services if self._statuses.pop(service, None) is not None]
        if known:
            self._changed.set()
            self._changed = asyncio.Event()

    async def Check(self, request: HealthCheckRequest, context: Any) -> HealthCheckResponse:  # noqa: ARG002, N802
        """The status of a service. Raises NotFoundError."""
        status = self._statuses.get(request.service)
        if status is None:
            raise NotFoundError(f"there is no service {request.service[:200]!r} here")
        return HealthCheckResponse(status=status)

    async def Watch(self, request: HealthCheckRequest, context: Any) -> AsyncIterator[HealthCheckResponse]:  # noqa: ARG002, N802
        """The status of a service now, and again whenever it changes."""
        told = None
        while True:
            changed = self._changed
            status = self._statuses.get(request.service, HealthCheckResponse.SERVICE_UNKNOWN)
            if status != told:
                yield HealthCheckResponse(status=status)
                told = status
            await changed.wait()
