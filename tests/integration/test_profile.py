"""Where the milliseconds of a call go, told by a whole server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ganserve.client import AsyncClient, Client

from ..servers import ServerProcess


@pytest.mark.parametrize("format", ["raw", "png", "jpeg", "webp"])
def test_every_phase_takes_its_time(server: ServerProcess, format: Any) -> None:  # noqa: A002
    with Client(server.address, model="digits") as client:
        profile = client.profile(20, repeats=3, format=format)
    for call in profile.calls:
        assert min(call.queue_ms, call.compute_ms, call.encode_ms, call.wire_ms, call.decode_ms) > 0


def test_asyncio_tells_the_same(server: ServerProcess) -> None:
    async def ask() -> str:
        async with AsyncClient(server.address, model="digits") as client:
            return repr(await client.profile(repeats=2))

    assert asyncio.run(ask()).startswith("64 samples of digits:2@")
