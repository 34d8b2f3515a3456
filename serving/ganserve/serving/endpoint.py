"""The gRPC server at one address: opened, kept open, and closed so that no call is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final, Protocol

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from .call_gate import CallGate
from .certificates import Certificates
from .connections import Options
from .descriptors import Descriptors
from .health import Health
from .listening import bind
from .throttled_log import ThrottledLog

# How long no call must have arrived before clients are told that the server goes away, how long that is waited for at
# most, and how long they have to learn it.
_QUIET_S: Final = 0.3
_MAX_ARRIVAL_S: Final = 3.0
_ANNOUNCEMENT_S: Final = 0.1

_log = logging.getLogger(__name__)


class Service(Protocol):
    """A service of gRPC.

    Attributes:
        name: its full name.
        descriptors: where its definition lies.
    """

    name: str
    descriptors: DescriptorPool

    def rpc_handler(self) -> grpc.GenericRpcHandler: ...


class Endpoint:
    """Where clients call. Belongs to one event loop.

    Attributes:
        address: where it listens; after `open`, with the port that it got.
        url: the same, as clients write it.
    """

    def __init__(
        self,
        address: str,
        gate: CallGate,
        services: Sequence[Service],
        health: Health,
        *,
        certificates: Certificates | None,
        options: Options,
    ) -> None:
        self.address = address
        self._certificates = certificates
        self._options = options
        self._gate = gate
        self._services = services
        self._health = health
        self._server: grpc.aio.Server | None = None
        self._accepting: set[asyncio.Task[Any]] = set()
        self._refusing: asyncio.Task[None] | None = None
        self._reopened = ThrottledLog(_log)

    @property
    def url(self) -> str:
        return self.address if self._certificates is None else f"grpcs://{self.address}"

    async def open(self) -> None:
        """Takes the address and begins to answer. Raises ConfigError where the address cannot be used."""
        server = grpc.aio.server(interceptors=(self._gate,), options=self._options)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        server.add_generic_rpc_handlers([service.rpc_handler() for service in self._services])
        self._describe(server)
        certificates = self._certificates
        credentials = certificates.credentials() if certificates else grpc.insecure_server_credentials()
        self.address = bind(server, self.address, credentials)
        others = asyncio.all_tasks()
        await server.start()
        self._server, self._accepting = server, asyncio.all_tasks() - others

    def _describe(self, server: grpc.aio.Server) -> None:
        """Adds reflection."""
        names = [service.name for service in self._services]
        pools = [service.descriptors for service in self._services]
        reflection.enable_server_reflection(
            (*names, health.SERVICE_NAME, reflection.SERVICE_NAME),
            server,
            Descriptors(*pools),  # type: ignore[arg-type] # it has what reflection asks of a pool
        )

    async def keep_open(self) -> None:
        """Opens again whenever gRPC ends by itself, until it is cancelled.

        One call whose method is not UTF-8 ends the task in which gRPC for Python accepts calls. Raises as `open` does.
        """
        while True:
            await asyncio.wait(self._accepting)
            causes = [str(task.exception()) for task in self._accepting if not task.cancelled() and task.exception()]
            self._reopened.warning(f"gRPC takes no more calls, so it is started anew ({'; '.join(causes)})")
            await self.cut()
            await self.open()

    async def refuse(self, *, grace_s: float) -> None:
        """Has clients go elsewhere, and gives calls under way so long to end."""
        if self._server is None:
            return
        self._gate.hold()
        await asyncio.sleep(_QUIET_S)
        await self._gate.settled(pause_s=_QUIET_S, timeout_s=_MAX_ARRIVAL_S)
        self._refusing = asyncio.create_task(self._server.stop(grace_s))
        await asyncio.sleep(_ANNOUNCEMENT_S)
        self._gate.close()

    async def cut(self) -> None:
        """Ends what is still under way, which clients see as UNAVAILABLE."""
        if self._server is not None:
            await self._server.stop(0)
        if self._refusing is not None:
            await self._refusing
