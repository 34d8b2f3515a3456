"""The deadline is the only clock: what is not there yet is waited for."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from ganserve.client import (
    AsyncClient,
    CallCancelledError,
    Client,
    ConfigError,
    DeadlineError,
    NotFoundError,
    PreconditionError,
    UnavailableError,
)
from ganserve.v1.generator_pb2 import GenerateRequest, GetModelRequest
from ganserve.v1.model_pb2 import ModelState

from .conftest import Connect
from .scripted import UNAVAILABLE, Failure, Script, ScriptedServer, image_values


@contextmanager
def started_later(port: int, script: Script, after_s: float = 1.0) -> Iterator[None]:
    started: list[ScriptedServer] = []
    timer = threading.Timer(after_s, lambda: started.append(ScriptedServer(script, port)))
    timer.start()
    try:
        yield
    finally:
        timer.join()
        started[0].stop()


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def test_a_server_that_comes_later(connect: Connect, deaf_address: str) -> None:
    with started_later(port_of(deaf_address), Script()):
        assert len(connect(deaf_address, timeout_s=20).generate(30)) == 30


def test_a_server_that_comes_back(connect: Connect) -> None:
    server = ScriptedServer(Script())
    client = connect(server.address, timeout_s=20)
    stream = client.stream(40, seed=0)
    values = image_values(next(stream).numpy())
    server.stop()
    with started_later(server.port, Script()):
        assert image_values(client.generate(30, seed=1).numpy()) == list(range(1, 31))
        values += [value for samples in stream for value in image_values(samples.numpy())]
    assert values == list(range(40))


def test_a_server_that_stays_away_is_waited_for_until_the_deadline(connect: Connect, deaf_address: str) -> None:
    began_s = time.monotonic()
    with pytest.raises(UnavailableError, match=r"asked \d+ times in 1\.\d s"):
        connect(deaf_address).generate(1, timeout_s=1.5)
    assert time.monotonic() - began_s > 1.3


def test_one_that_is_waited_for_is_spoken_of(
    connect: Connect, deaf_address: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UnavailableError):
        connect(deaf_address).generate(1, timeout_s=2.5)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("ganserve.client", logging.WARNING)
    assert f"{deaf_address} is unavailable" in record.getMessage()


def test_a_setting_bounds_how_long_it_is_asked_for(connect: Connect, server: ScriptedServer, script: Script) -> None:
    script.generate.extend([UNAVAILABLE] * 2000)
    with pytest.raises(UnavailableError):
        connect(server.address, retry_for_s=0).generate(1)
    assert len(script.asked(GenerateRequest)) == 1
    with pytest.raises(UnavailableError):
        connect(server.address, retry_for_s=0.4).generate(1)
    assert len(script.asked(GenerateRequest)) > 3


def test_a_call_that_runs_out_of_time_says_what_it_was_spent_on(
    connect: Connect, server: ScriptedServer, script: Script
) -> None:
    script.generate.append(UNAVAILABLE)
    script.hold_after = 1
    script.hold = threading.Event()
    with pytest.raises(UnavailableError, match=r"is unavailable.*; asked 2 times in 0\.\d s"):
        connect(server.address).generate(1, timeout_s=0.5)


@pytest.mark.parametrize("retry_for_s", [-1, float("nan"), "3", True])
def test_retry_times_that_cannot_be(connect: Connect, retry_for_s: Any) -> None:
    with pytest.raises(ConfigError, match="retry_for_s"):
        connect("127.0.0.1:1", retry_for_s=retry_for_s)


@pytest.mark.parametrize("timeout_s", [1e8, 1e10, 1e19, 1e300, 10**400])
def test_a_long_time_is_a_long_time(connect: Connect, server: ScriptedServer, timeout_s: float) -> None:
    client = connect(server.address, timeout_s=timeout_s)
    assert len(client.generate(20)) == 20
    assert sum(map(len, client.stream(10))) == 10
    client.wait_until_ready()


@pytest.mark.parametrize("model", ["digits", None])
def test_waiting_until_a_server_is_ready(connect: Connect, deaf_address: str, model: str | None) -> None:
    client = connect(deaf_address, model=model, retry_for_s=0)
    with started_later(port_of(deaf_address), Script()):
        client.wait_until_ready(20)


def test_a_server_that_is_loading_is_not_ready(connect: Connect, server: ScriptedServer, script: Script) -> None:
    script.state = ModelState.MODEL_STATE_DRAINING
    threading.Timer(0.5, lambda: setattr(script, "state", ModelState.MODEL_STATE_SERVING)).start()
    connect(server.address).wait_until_ready(20)
    assert len(script.asked(GetModelRequest)) > 1
    script.state = ModelState.MODEL_STATE_DRAINING
    with pytest.raises(DeadlineError, match="the server is stopping"):
        connect(server.address).wait_until_ready(0.3)


def test_a_server_that_does_not_become_ready(connect: Connect, deaf_address: str) -> None:
    with pytest.raises(
        DeadlineError, match=rf"no server was ready within 0\.5 s: {deaf_address} is unavailable"
    ) as caught:
        connect(deaf_address).wait_until_ready(timeout_s=0.5)
    assert "\n" not in str(caught.value)


def test_a_model_that_will_not_come_is_not_waited_for(connect: Connect, server: ScriptedServer) -> None:
    with pytest.raises(NotFoundError):
        connect(server.address, model="cats").wait_until_ready(20)
    with pytest.raises(PreconditionError):
        connect(server.address, digest="00" * 32).wait_until_ready(20)


def test_an_asyncio_client_serves_one_event_loop_after_another(server: ScriptedServer) -> None:
    client = AsyncClient(server.address, model="digits", timeout_s=10)

    async def ask() -> list[int]:
        first = image_values((await client.generate(12, seed=1)).numpy())
        async for samples in client.stream(8, seed=13):
            first += image_values(samples.numpy())
        return first

    for _ in range(3):
        assert asyncio.run(ask()) == list(range(1, 21))
        gc.collect()
    asyncio.run(client.close())
    with pytest.raises(RuntimeError, match="closed"):
        asyncio.run(ask())


def test_and_several_at_the_same_time(server: ScriptedServer) -> None:
    client = AsyncClient(server.address, model="digits", timeout_s=10)
    got: list[int] = []

    async def ask() -> None:
        got.extend([len(await client.generate(25)) for _ in range(5)])

    threads = [threading.Thread(target=lambda: asyncio.run(ask())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [25] * 15
    asyncio.run(client.close())


def test_closing_an_asyncio_client_ends_its_calls(server: ScriptedServer, script: Script) -> None:
    async def close_midway() -> None:
        client = AsyncClient(server.address, model="digits")
        await client.get_model()
        script.hold = threading.Event()
        call = asyncio.create_task(client.generate(30))
        await asyncio.sleep(0.2)
        await client.close()
        with pytest.raises(CallCancelledError):
            await call

    asyncio.run(close_midway())


def test_closing_an_asyncio_client_ends_a_wait_for_a_server(deaf_address: str) -> None:
    async def close_midway() -> None:
        client = AsyncClient(deaf_address, model="digits", timeout_s=30)
        call = asyncio.create_task(client.generate(1))
        await asyncio.sleep(0.3)
        await client.close()
        with pytest.raises(CallCancelledError, match="closed"):
            await call

    asyncio.run(close_midway())


def test_closing_a_client_ends_a_wait_for_a_server(deaf_address: str) -> None:
    client = Client(deaf_address, model="digits", timeout_s=30)
    threading.Timer(0.3, client.close).start()
    with pytest.raises(CallCancelledError, match="closed"):
        client.generate(1)


def test_refusals_are_not_waited_out(connect: Connect, server: ScriptedServer, script: Script) -> None:
    script.generate.append(Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", retry_after_s=60))
    with pytest.raises(Exception, match="full"):
        connect(server.address).generate(1)
