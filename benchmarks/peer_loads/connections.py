"""Connections that carry requests and replies as bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Protocol

import grpc

from .errors import PeerError
from .forms import Form

TIMEOUT_S = 30.0


class Connection(Protocol):
    """Asks one thing at a time, or several."""

    async def ask(self, request: bytes) -> bytes: ...


@asynccontextmanager
async def connected(form: Form, port: int, num_callers: int) -> AsyncIterator[list[Connection]]:
    """A connection for each caller: gRPC's is shared, HTTP's stays open."""
    if form.transport == "grpc":
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
            yield [_OverGrpc(channel, form.target)] * num_callers
        return
    path, body_type = form.target.split()
    opened = [_OverHttp(port, path, body_type) for _ in range(num_callers)]
    try:
        yield list(opened)
    finally:
        for connection in opened:
            await connection.close()


class _OverGrpc:
    def __init__(self, channel: grpc.aio.Channel, method: str) -> None:
        self._call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)

    async def ask(self, request: bytes) -> bytes:
        try:
            return await self._call(request, timeout=TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise PeerError(f"{error.code().name}: {error.details()}") from None


class _OverHttp:
    """HTTP/1.1 as far as these servers need it: one request at a time, and replies with their length."""

    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter | None = None

    def __init__(self, port: int, path: str, body_type: str) -> None:
        self._port = port
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {body_type}\r\nContent-Length: ".encode()
        )

    async def ask(self, request: bytes) -> bytes:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status, reply = await self._exchange(self._head + b"%d\r\n\r\n" % len(request) + request)
        except TimeoutError:
            raise PeerError(f"no reply in {TIMEOUT_S:g} s") from None
        except (OSError, EOFError) as error:
            raise PeerError(f"the connection broke: {error}") from None
        if status.split()[1] != "200":
            raise PeerError(f"{status}: {reply[:200].decode(errors='replace')}")
        return reply

    async def close(self) -> None:
        if self._writer:
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()
            self._writer = None

    async def _exchange(self, request: bytes) -> tuple[str, bytes]:
        """Status line and body of a reply. A connection that was closed as it lay idle is opened again."""
        if self._writer:
            with suppress(_IdleConnectionClosedError):
                return await self._over(self._writer, request)
            await self.close()
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)
        return await self._over(self._writer, request)

    async def _over(self, writer: asyncio.StreamWriter, request: bytes) -> tuple[str, bytes]:
        try:
            writer.write(request)
            head = await self._reader.readuntil(b"\r\n\r\n")
        except ConnectionResetError as error:
            raise _IdleConnectionClosedError(str(error)) from None
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            raise _IdleConnectionClosedError("closed without a reply") from None
        status, *fields = head.decode("latin-1").split("\r\n")
        lengths = [field.split(":")[1] for field in fields if field.lower().startswith("content-length:")]
        if not lengths:
            raise PeerError(f"{status}, without a length")
        return status, await self._reader.readexactly(int(lengths[0]))


class _IdleConnectionClosedError(ConnectionError):
    """The server closed a connection before it began to reply."""
