"""A server under mixed load for a while holds as much memory as before; one that leaks is found out."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Final

import pytest

from ganserve.client import AsyncClient, Client, InvalidRequestError

from ..servers import ServerProcess, StartServer
from .conftest import Note, Size
from .process import resident_mib

SPOILT_SERVER: Final = str(Path(__file__).with_name("spoilt_server.py"))
MOST_GROWTH_MIB: Final = 32


class MemoryGrewError(AssertionError):
    """A server holds more memory than before."""


def soak(server: ServerProcess, num_rounds: int) -> tuple[float, float]:
    """Puts the same load on a server twice; returns how much memory it held after either, in MiB.

    Raises MemoryGrewError.
    """
    sizes_mib = []
    for _ in range(2):
        asyncio.run(load(server.address, num_rounds))
        sizes_mib.append(resident_mib(server.process.pid))
    before_mib, after_mib = sizes_mib
    if after_mib - before_mib > MOST_GROWTH_MIB:
        raise MemoryGrewError(f"{before_mib:.0f} MiB, and then {after_mib:.0f} MiB")
    return before_mib, after_mib


async def load(address: str, num_rounds: int) -> None:
    """Calls, files, streams that are left halfway and calls that are refused, by clients that come and go."""
    for _ in range(num_rounds):
        async with AsyncClient(address, model="photos") as client:
            await asyncio.gather(
                *(client.generate(20, seed=seed) for seed in range(8)),
                *(client.generate(2, seed=seed, format="png") for seed in range(2)),
                *(read_some(client, seed) for seed in range(4)),
                *(be_refused(client, seed) for seed in range(4)),
            )


async def read_some(client: AsyncClient, seed: int) -> None:
    parts = client.stream(10_000, seed=seed, batch_size=2)
    for _ in range(5):
        await anext(parts)


async def be_refused(client: AsyncClient, seed: int) -> None:
    with pytest.raises(InvalidRequestError, match="unconditional"):
        await client.generate(1, seed=seed, labels=1)


def test_memory_does_not_grow(models: Path, start_server: StartServer, size: Size, note: Note) -> None:
    num_rounds = size(15, 500)
    with start_server(models) as server:
        before_mib, after_mib = soak(server, num_rounds)
        with Client(server.address, model="photos") as client:
            assert len(client.generate(1)) == 1
        assert server.stop() == 0
    note(
        fault=f"{2 * num_rounds:,} rounds of mixed load",
        load="each by a client of its own: 8 calls, 2 of files, 4 streams left halfway, 4 calls refused",
        expected=f"the second half adds at most {MOST_GROWTH_MIB} MiB; a server that leaks is found out",
        seen=f"{before_mib:.0f} MiB after the first half, {after_mib:.0f} MiB after the second",
    )


def test_a_server_that_leaks_is_found_out(models: Path, start_server: StartServer, tmp_path: Path) -> None:
    (tmp_path / "leak").touch()
    program = (sys.executable, SPOILT_SERVER, "leaking", str(tmp_path / "leak"))
    with start_server(models, program=program) as server, pytest.raises(MemoryGrewError):
        soak(server, 15)
