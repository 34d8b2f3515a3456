"""Clocks that are set forward and back by an hour: whatever waits goes by a clock that cannot be set."""

from __future__ import annotations

import ast
import asyncio
import itertools
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import grpc._common
import pytest

from ganserve.client import AsyncClient, Client

from ..servers import GANSERVE, ServerProcess, StartServer
from .conftest import Note

ROOT: Final = Path(__file__).resolve().parents[2]
STEPS_S: Final = (3_600, 0, -3_600, 0)
TELLS_THE_TIME: Final = {
    "serving/ganserve/serving/call_traces.py",  # of spans
    "serving/ganserve/serving/statistics.py",  # of the last run, as Triton does
}
NUM_CALLERS: Final = 8
NUM_CALLS: Final = 100  # between two steps


class Callers:
    """Call again and again.

    Attributes:
        num_calls: how often they were answered, with the right bytes.
        failures: of those who were not.
    """

    def __init__(self, address: str) -> None:
        self.num_calls = 0
        self.failures: list[Exception] = []
        self._address = address
        self._over = threading.Event()

    def call_through(self, step: Callable[[int], None]) -> None:
        """Sets a clock while they call."""
        with Client(self._address, model="digits") as client:
            self._expected = [client.generate(5, seed=seed).numpy().tobytes() for seed in range(NUM_CALLERS)]
            threads = [threading.Thread(target=self._call, args=(client, seed)) for seed in range(NUM_CALLERS)]
            threads.append(threading.Thread(target=asyncio.run, args=(self._stream_from_tasks(),)))
            for thread in threads:
                thread.start()
            for step_s in STEPS_S:
                self._wait_for_calls()
                step(step_s)
            self._wait_for_calls()
            self._over.set()
            for thread in threads:
                thread.join()

    def _wait_for_calls(self) -> None:
        target = self.num_calls + NUM_CALLS
        while self.num_calls < target and not self.failures:
            time.sleep(0.01)

    def _call(self, client: Client, seed: int) -> None:
        try:
            while not self._over.is_set():
                assert client.generate(5, seed=seed).numpy().tobytes() == self._expected[seed]
                self.num_calls += 1
        except Exception as error:  # noqa: BLE001 - the test tells of all
            self.failures.append(error)

    async def _stream_from_tasks(self) -> None:
        async with AsyncClient(self._address, model="digits") as client:
            await asyncio.gather(*(self._stream(client, seed) for seed in range(NUM_CALLERS)))

    async def _stream(self, client: AsyncClient, seed: int) -> None:
        try:
            while not self._over.is_set():
                parts = [part async for part in client.stream(5, seed=seed, batch_size=2)]
                assert b"".join(part.numpy().tobytes() for part in parts) == self._expected[seed]
                self.num_calls += 1
        except Exception as error:  # noqa: BLE001
            self.failures.append(error)


@pytest.mark.long
def test_the_clock_of_a_server_is_set(models: Path, start_server: StartServer, tmp_path: Path, note: Note) -> None:
    """With Debian's faketime, since gRPC has a clock of its own, which Python cannot set."""
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    ahead = tmp_path / "ahead"
    faked = {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": ahead, "FAKETIME_NO_CACHE": 1}
    faked |= {"FAKETIME_DONT_FAKE_MONOTONIC": 1}
    program = ("env", *(f"{name}={value}" for name, value in faked.items()))

    def step(step_s: int) -> None:
        (tmp_path / "new").write_text(f"{step_s:+}")
        (tmp_path / "new").replace(ahead)

    step(3_600)
    assert float(subprocess.check_output([*program, "date", "+%s"])) - time.time() > 1_800
    step(0)
    with start_server(models, program=(*program, *GANSERVE)) as server:
        callers = Callers(server.address)
        callers.call_through(step)
        assert server.stop() == 0
    note(
        fault="the server's clock is set an hour forward, back, and back and forward (`faketime`)",
        load=f"{NUM_CALLERS} callers of each client, with deadlines of 30 s",
        expected="no call expires or waits",
        seen=f"{callers.num_calls:,} calls answered with the same bytes, {len(callers.failures)} not",
    )
    assert callers.failures == []


def test_nothing_that_serves_or_asks_reads_the_wall_clock() -> None:
    files = (file for folder in ("serving", "clients/ganserve/client") for file in (ROOT / folder).rglob("*.py"))
    readers = {str(file.relative_to(ROOT)) for file in files if reads_wall_clock(ast.parse(file.read_text()))}
    assert readers == TELLS_THE_TIME


def reads_wall_clock(tree: ast.AST) -> bool:
    """Whether a module calls what an operator, or NTP, may set."""
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    named = {ast.unparse(call) for call in calls}
    return not named.isdisjoint({"time.time", "time.time_ns", "datetime.now", "datetime.datetime.now"})


def test_a_clock_that_is_set_back_does_not_hold_a_second_question_up(
    server: ServerProcess, models: Path, start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gRPC for Python waits by the wall clock, where it is asked to wait for a while."""
    steps_s = itertools.count(0.0, 3_600.0)
    with (
        start_server(models) as hung,
        Client([hung.address, server.address], model="digits", hedge_after_s=0.2, timeout_s=20) as client,
    ):
        expected = [client.generate(5, seed=seed).numpy().tobytes() for seed in range(4)]  # by both, in turns
        hung.process.send_signal(signal.SIGSTOP)
        monkeypatch.setattr(grpc._common, "time", SimpleNamespace(time=lambda: time.time() - next(steps_s)))
        assert [client.generate(5, seed=seed).numpy().tobytes() for seed in range(4)] == expected
