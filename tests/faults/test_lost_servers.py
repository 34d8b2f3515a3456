"""Servers that stop, die and come back under callers, who get every sample all the same."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ganserve.client import AsyncClient, Client, NotFoundError

from ..servers import ServerProcess, StartServer
from .conftest import Note, Size

NUM_CALLERS = 32
NUM_CALLS = 30


def die(server: ServerProcess) -> float:
    server.process.kill()
    server.process.wait(60)
    return 0.0


def stop(server: ServerProcess) -> float:
    """SIGTERM; returns the seconds after which health said so."""
    with grpc.insecure_channel(server.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        began_s = time.monotonic()
        server.process.terminate()
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        told_s = time.monotonic() - began_s
    assert server.process.wait(60) == 0
    return told_s


@pytest.mark.parametrize("leave", [die, stop])
def test_one_of_two_servers_leaves_and_no_call_is_lost(
    models: Path, start_server: StartServer, leave: Callable[[ServerProcess], float], size: Size, note: Note
) -> None:
    with start_server(models) as leaving, start_server(models) as staying:
        lost: list[BaseException] = []
        under_way = threading.Barrier(NUM_CALLERS + 1)

        def call(seed: int) -> None:
            for number in range(NUM_CALLS):
                if number == 3:
                    under_way.wait(60)
                try:
                    assert client.generate(5, seed=seed).numpy().tobytes() == expected[seed]
                    assert sum(map(len, client.stream(40, seed=seed, batch_size=8))) == 40
                except BaseException as error:  # noqa: BLE001 - the test tells of all
                    lost.append(error)

        with Client([leaving.address, staying.address], model="digits") as client:
            expected = [client.generate(5, seed=seed).numpy().tobytes() for seed in range(NUM_CALLERS)]
            callers = [threading.Thread(target=call, args=(seed,)) for seed in range(NUM_CALLERS)]
            for caller in callers:
                caller.start()
            under_way.wait(60)
            told_s = leave(leaving)
            for caller in callers:
                caller.join()
    told = f", NOT_SERVING after {told_s * 1e3:.0f} ms, exit 0" if leave is stop else ""
    note(
        fault="SIGTERM to one of two servers" if leave is stop else "kill -9 of one of two servers",
        load=f"{NUM_CALLERS} closed-loop callers of calls and streams on a client of both",
        expected="0 calls lost, the same bytes" + (", NOT_SERVING within 100 ms, exit 0" if leave is stop else ""),
        seen=f"{len(lost)} of {NUM_CALLERS * NUM_CALLS * 2:,} lost{told}",
    )
    assert lost == []
    assert told_s <= size(1.0, 0.1)  # beside whatever else the machine does


def test_servers_that_die_and_come_back_cost_time_alone(
    models: Path, start_server: StartServer, size: Size, note: Note
) -> None:
    num_kills = size(2, 10)
    with ExitStack() as servers:
        server = servers.enter_context(start_server(models))
        num_calls = asyncio.run(call_through_kills(server, num_kills, models, start_server, servers))
    note(
        fault=f"kill -9 and restart, {num_kills} times",
        load="16 callers of one server, half of them of streams, `timeout_s=60`, who go on",
        expected="no error reaches a caller, the same bytes",
        seen=f"0 errors in {num_calls:,} calls, the same bytes",
    )


async def call_through_kills(
    server: ServerProcess, num_kills: int, models: Path, start_server: StartServer, servers: ExitStack
) -> int:
    """Has callers call while the server is killed and started again; returns how often they were answered."""
    over = asyncio.Event()
    async with AsyncClient(server.address, model="digits", timeout_s=60) as client:
        expected = [(await client.generate(100, seed=seed)).numpy().tobytes() for seed in range(16)]
        num_calls = 0

        async def call(seed: int) -> None:
            nonlocal num_calls
            while not over.is_set():
                if seed % 2:
                    made = (await client.generate(100, seed=seed)).numpy().tobytes()
                else:
                    parts = [part async for part in client.stream(100, seed=seed, batch_size=10)]
                    made = b"".join(part.numpy().tobytes() for part in parts)
                assert made == expected[seed]
                num_calls += 1

        async def be_answered() -> None:
            target = num_calls + 50
            while num_calls < target:  # noqa: ASYNC110 - every caller would have to tell
                await asyncio.sleep(0.01)

        async with asyncio.TaskGroup() as callers:
            for seed in range(16):
                callers.create_task(call(seed))
            for _ in range(num_kills):
                await be_answered()
                server.process.kill()
                again = start_server(models, "--listen", server.address)
                server = await asyncio.to_thread(servers.enter_context, again)
            await be_answered()
            over.set()
    return num_calls


def test_a_client_waits_until_a_server_has_loaded(models: Path, start_server: StartServer) -> None:
    with start_server(models) as used:
        address = used.address
    server = ServerProcess(models, "--listen", address)
    try:
        with Client(address, model="digits") as client:
            client.wait_until_ready(60)
            assert len(client.generate(1)) == 1
    finally:
        server.close()


def test_two_servers_with_different_models(models: Path, start_server: StartServer, tmp_path: Path) -> None:
    shutil.copytree(models / "plain", tmp_path / "plain" / "plain")
    shutil.copytree(models / "digits" / "1", tmp_path / "digits" / "digits" / "1")
    with start_server(tmp_path / "plain") as one, start_server(tmp_path / "digits") as other:
        addresses = [one.address, other.address]
        for model in ("plain", "digits"):
            with Client(addresses, model=model) as client:
                assert sum(len(client.generate(20)) for _ in range(4)) == 80
                assert sum(map(len, client.stream(20))) == 20
                assert [served.name for served in client.list_models()] == ["digits", "plain"]
        with Client(addresses, model="cats") as client, pytest.raises(NotFoundError) as caught:
            client.generate(1)
    assert f"{one.address}: there is no model 'cats'; this server has 'plain'" in str(caught.value)
    assert f"{other.address}: there is no model 'cats'; this server has 'digits'" in str(caught.value)
