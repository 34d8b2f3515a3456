"""A server that stops loses no call: each ends with its answer, or with UNAVAILABLE, which clients send elsewhere."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ganserve.client import Client, DeadlineError, UnavailableError
from ganserve.client._transport.access import NO_ACCESS
from ganserve.client._transport.administrator import Administrator
from ganserve.v1.generator_pb2 import (
    GenerateRequest,
    ListModelsRequest,
    ModelSelector,
    SampleAddress,
    SampleQuery,
    StreamSamplesRequest,
)
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub

from ..servers import ServerProcess, StartServer
from .conftest import Note, Size

SPOILT_SERVER = str(Path(__file__).with_name("spoilt_server.py"))
NUM_CALLERS = 32
NUM_REFUSALS = 8


def call_until_refused(channel: grpc.Channel, caller: int, started: threading.Barrier) -> Counter[str]:
    """Calls again and again, each time as soon as it is answered; counts the statuses."""
    stub: Any = GeneratorServiceStub(channel)
    health: Any = health_pb2_grpc.HealthStub(channel)
    query = SampleQuery(model=ModelSelector(name="digits"), address=SampleAddress(seed=caller, count=1 + caller % 3))
    calls = (
        lambda: stub.Generate(GenerateRequest(query=query), timeout=60),
        lambda: list(stub.StreamSamples(StreamSamplesRequest(query=query, max_batch_size=1), timeout=60)),
        lambda: stub.ListModels(ListModelsRequest(), timeout=60),
        lambda: health.Check(health_pb2.HealthCheckRequest(), timeout=60),
    )
    statuses: Counter[str] = Counter()
    while statuses["UNAVAILABLE"] < NUM_REFUSALS:
        try:
            calls[sum(statuses.values()) % len(calls)]()
        except grpc.RpcError as error:
            statuses[error.code().name] += 1
        else:
            statuses["OK"] += 1
            if statuses["OK"] == len(calls):
                started.wait(60)
    return statuses


@pytest.mark.parametrize("num_channels", [1, NUM_CALLERS])
def test_every_call_ends_with_its_answer_or_as_unavailable(
    models: Path, start_server: StartServer, num_channels: int, size: Size, note: Note
) -> None:
    num_rounds = size(2, 10)
    seen: Counter[str] = Counter()
    for _ in range(num_rounds):
        with start_server(models) as server, ExitStack() as stack:
            started = threading.Barrier(NUM_CALLERS + 1)
            options = [("grpc.use_local_subchannel_pool", 1)]
            channels = [
                stack.enter_context(grpc.insecure_channel(server.address, options)) for _ in range(num_channels)
            ]
            callers = stack.enter_context(ThreadPoolExecutor(NUM_CALLERS))
            calls = [
                callers.submit(call_until_refused, channels[caller % num_channels], caller, started)
                for caller in range(NUM_CALLERS)
            ]
            started.wait(60)
            assert server.stop() == 0
            seen += sum((call.result() for call in calls), Counter())
    note(
        fault=f"SIGTERM, {num_rounds} times",
        load=f"{NUM_CALLERS} callers of unary calls, streams and health on {num_channels} connections, who go on",
        expected="each call ends with its answer or as UNAVAILABLE, exit 0",
        seen=", ".join(f"{count:,} {status}" for status, count in seen.items()),
    )
    assert set(seen) == {"OK", "UNAVAILABLE"}


def test_sigterm_lets_calls_under_way_finish(models: Path, start_server: StartServer) -> None:
    with start_server(models, "--grace-s", "120", "--drain-delay-s", "0.1") as server:
        received: list[int] = []
        started = threading.Event()

        def pull() -> None:
            with Client(server.address, model="digits") as client:
                for samples in client.stream(100_000, seed=1):
                    received.append(len(samples))
                    started.set()

        thread = threading.Thread(target=pull)
        thread.start()
        assert started.wait(30)
        assert server.stop() == 0
        thread.join(30)
        assert sum(received) == 100_000
        assert "stopped" in server.log[-1]
        with Client(server.address, model="digits", timeout_s=5) as client, pytest.raises(UnavailableError):
            client.generate(1)


def test_calls_that_outlast_the_grace_end_as_unavailable(models: Path, start_server: StartServer) -> None:
    query = SampleQuery(model=ModelSelector(name="digits"), address=SampleAddress(seed=1, count=2**40))
    with start_server(models, "--grace-s", "0.1") as server, grpc.insecure_channel(server.address) as channel:
        stub: Any = GeneratorServiceStub(channel)
        replies = stub.StreamSamples(StreamSamplesRequest(query=query), timeout=60)
        next(replies)
        assert server.stop() == 0
        with pytest.raises(grpc.RpcError):
            list(replies)
        assert replies.code() is grpc.StatusCode.UNAVAILABLE
        assert not [line for line in server.log if "Traceback" in line or "exception" in line.lower()]


def test_a_second_signal_ends_calls_at_once(models: Path, start_server: StartServer, note: Note) -> None:
    with start_server(models, "--grace-s", "1000") as server, Client(server.address, model="digits") as client:
        next(client.stream(seed=1))
        server.process.terminate()
        server.wait_for("stopping")
        began_s = time.monotonic()
        code = server.stop()
        note(
            fault="a second SIGTERM",
            load="an endless stream, `--grace-s 1000`",
            expected="the stream is cut at once, exit 0",
            seen=f"exit {code} after {time.monotonic() - began_s:.1f} s",
        )
        assert code == 0


def test_open_health_watches_do_not_hold_a_stop_up(models: Path, start_server: StartServer) -> None:
    with start_server(models, "--grace-s", "1000") as server, grpc.insecure_channel(server.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        next(stub.Watch(health_pb2.HealthCheckRequest()))
        assert server.stop() == 0


@pytest.mark.parametrize("moment", ["at the start", "beside serving"])
def test_a_load_without_end_does_not_hold_a_stop_up(models: Path, tmp_path: Path, moment: str) -> None:
    stalls = tmp_path / "stalls"
    program = (sys.executable, SPOILT_SERVER, "stalling", str(stalls))
    if moment == "at the start":
        stalls.touch()
    server = ServerProcess(models, "--allow-admin", program=program)
    try:
        if moment == "beside serving":
            address = server.wait_for(r"serving on (\S+)")
            stalls.touch()
            with Administrator(address, NO_ACCESS, 0.1) as administrator, pytest.raises(DeadlineError):
                administrator.load("digits", None)
            with Administrator(address, NO_ACCESS, 60) as administrator:
                reasons = [model.reason for model in administrator.status().models]
            assert "a new bundle is being loaded" in reasons
        server.wait_for("loading without end")
        assert server.stop() == 0
        assert not [line for line in server.log if "Traceback" in line]
    finally:
        server.close()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is none")
def test_a_terminal_that_is_gone_stops_a_server_as_sigterm_does(models: Path, tmp_path: Path) -> None:
    ready = tmp_path / "address"
    server = ServerProcess(models, "--ready-file", str(ready))
    try:
        server.wait_for("serving on")
        server.process.send_signal(signal.SIGHUP)
        assert server.process.wait(60) == 0
        assert not ready.exists()
    finally:
        server.close()
