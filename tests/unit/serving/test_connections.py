"""The bounds that gRPC itself keeps, on a server with the options of ours."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from ganserve.serving.config import ServingConfig
from ganserve.serving.connections import MAX_METADATA_BYTES, MAX_REQUEST_BYTES, connection_options


def play(story: Callable[[Any], Awaitable[None]]) -> None:
    """Plays a story with a method that says how many bytes it was sent."""

    async def count(request: bytes, context: Any) -> bytes:  # noqa: ARG001
        return str(len(request)).encode()

    async def run() -> None:
        server = grpc.aio.server(options=connection_options(ServingConfig()))
        methods: Any = {"Count": grpc.unary_unary_rpc_method_handler(count)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Service", methods),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await story(channel.unary_unary("/test.Service/Count"))
        await server.stop(0)

    asyncio.run(asyncio.wait_for(run(), 60))


def test_a_request_has_8_mib_and_no_byte_more() -> None:
    async def story(count: Any) -> None:
        assert await count(bytes(MAX_REQUEST_BYTES)) == str(8 * 1024**2).encode()
        with pytest.raises(grpc.aio.AioRpcError, match="Received message larger than max") as caught:
            await count(bytes(MAX_REQUEST_BYTES + 1))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await count(b"abc") == b"3"

    play(story)


def test_metadata_has_16_kib() -> None:
    async def story(count: Any) -> None:
        assert await count(b"", metadata=(("authorization", "x" * (MAX_METADATA_BYTES // 2)),)) == b"0"
        with pytest.raises(grpc.aio.AioRpcError, match="received metadata size exceeds hard limit") as caught:
            await count(b"", metadata=(("authorization", "x" * MAX_METADATA_BYTES),))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await count(b"abc") == b"3"

    play(story)


def test_ages_are_told_in_milliseconds_and_no_bound_as_the_highest_number() -> None:
    aged = dict(connection_options(ServingConfig(max_connection_age_s=1.5, connection_grace_s=0)))
    assert aged["grpc.max_connection_age_ms"] == 1_500
    assert aged["grpc.max_connection_age_grace_ms"] == 1
    ageless = dict(connection_options(ServingConfig(max_connection_age_s=math.inf)))
    assert ageless["grpc.max_connection_age_ms"] == 2**31 - 1
