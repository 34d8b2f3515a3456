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
    opened = [_OverHttp(path, body_type) for _ in range(num_callers)]
    try:
        for connection in opened:
            await connection.open(port)
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

    def __init__(self, path: str, body_type: str) -> None:
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {body_type}\r\nContent-Length: ".encode()
        )

    async def open(self, port: int) -> None:
        try:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        except OSError as error:
            raise PeerError(str(error)) from None

    async def close(self) -> None:
        if self._writer:
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()

    async def ask(self, request: bytes) -> bytes:
        assert self._writer  # noqa: S101
        try:
            async with asyncio.timeout(TIMEOUT_S):
                self._writer.write(self._head + b"%d\r\n\r\n" % len(request) + request)
                status, *fields = (await self._reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
                lengths = [field.split(b":")[1] for field in fields if field.lower().startswith(b"content-length:")]
                if not lengths:
                    raise PeerError(f"{status.decode()}, without a length")
                reply = await self._reader.readexactly(int(lengths[0]))
        except TimeoutError:
            raise PeerError(f"no reply in {TIMEOUT_S:g} s") from None
        except (OSError, EOFError) as error:
            raise PeerError(f"the connection broke: {error}") from None
        if status.split()[1] != b"200":
            raise PeerError(f"{status.decode()}: {reply[:200].decode(errors='replace')}")
        return reply
