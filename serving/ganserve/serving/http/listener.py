"""An HTTP server in the event loop of the gRPC server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from ganserve.serving.certificates import Certificates
from ganserve.serving.listening import listen_on

_IDLE_S: Final = 65  # longer than proxies keep connections that they do not use
_LAST_S: Final = 1
_HEAD_S: Final = 20.0


class Listener:
    """Answers HTTP at one address. Belongs to one event loop.

    Attributes:
        address: where it listens; after `open`, with the port that it got.
        url: the same, as clients write it.
    """

    def __init__(self, address: str, app: ASGIApp, certificates: Certificates | None = None) -> None:
        self.address = address
        self._certificates = certificates
        self._server = _Server(
            _Config(
                certificates,
                app,
                http=_Protocol,
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                log_level="critical",  # requests that fail are logged by the gate
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_IDLE_S,
                timeout_graceful_shutdown=_LAST_S,
            )
        )
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"{'http' if self._certificates is None else 'https'}://{self.address}"

    async def open(self) -> None:
        """Takes the address and begins to answer. Raises ConfigError where the address cannot be used."""
        listening, self.address = listen_on(self.address, flag="--http")
        self._serving = asyncio.create_task(self._server.serve(sockets=[listening]))
        await self._server.started_once.wait()

    async def close(self) -> None:
        """Closes connections as they have nothing under way, and soon all of them."""
        if self._serving is not None:
            self._server.should_exit = True
            await self._serving


class _Config(uvicorn.Config):
    """With certificates that are read again when they change."""

    def __init__(self, certificates: Certificates | None, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._certificates = certificates

    def load(self) -> None:
        super().load()
        self.ssl = None if self._certificates is None else self._certificates.context()


class _Server(uvicorn.Server):
    """Leaves the signals to the process."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.started_once = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.started_once.set()


class _Protocol(H11Protocol):
    """One connection. Ends where the head of a request does not come whole and in time."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._time_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._time_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._end_timer()

    def _time_head(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._end_timer()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(_HEAD_S, self.transport.close)

    def _end_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
