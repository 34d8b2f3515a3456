"""Connections that are idle, half open, or full of calls that are taken back at once: they hold nobody else up."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from ganserve.client import Client
from ganserve.v1.generator_pb2 import GenerateRequest, ModelSelector, SampleAddress, SampleQuery

from ..servers import GANSERVE, ServerProcess, StartServer
from .conftest import Note, Size
from .http2 import PREFACE, RawConnection, half_a_message, headers, message, reset
from .process import num_open_files, resident_mib

GENERATE = b"/ganserve.v1.GeneratorService/Generate"
QUERY = SampleQuery(model=ModelSelector(name="digits"), address=SampleAddress(seed=1, count=100))
REQUEST = GenerateRequest(query=QUERY).SerializeToString()
WAYS_TO_STOP_HALFWAY = {
    "nothing": b"",
    "half a preface": PREFACE[: len(PREFACE) // 2],
    "headers without a request": headers(1, GENERATE),
    "half a request": headers(1, GENERATE) + half_a_message(1, 1_000),
}


@contextmanager
def caller_of(server: ServerProcess) -> Iterator[Client]:
    """A caller who finds the same samples before and after."""
    with Client(server.address, model="digits", timeout_s=60) as client:
        before = client.generate(50, seed=1).numpy()
        yield client
        assert (client.generate(50, seed=1).numpy() == before).all()


def wait_until_closed(server: ServerProcess, num_files: int) -> None:
    """Until the server has as few files open as before."""
    end_s = time.monotonic() + 60
    while num_open_files(server.process.pid) > num_files:
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_idle_connections_hold_nobody_up(server: ServerProcess, note: Note) -> None:
    num_connections, num_calls = 1_000, 200
    with caller_of(server) as client, ExitStack() as idle:
        num_files, before_mib = num_open_files(server.process.pid), resident_mib(server.process.pid)
        for _ in range(num_connections):
            idle.enter_context(RawConnection(server.address))
        num_answers = sum(len(client.generate(1)) for _ in range(num_calls))
        grown_mib = resident_mib(server.process.pid) - before_mib
        idle.close()
        wait_until_closed(server, num_files)
    note(
        fault=f"{num_connections:,} idle connections",
        load="one caller",
        expected="all of the caller's calls are answered; what is closed is let go",
        seen=f"{num_answers} of {num_calls} answered, {grown_mib * 1024 / num_connections:.0f} KiB a connection",
    )
    assert num_answers == num_calls
    assert grown_mib < 128


def test_more_connections_than_files_may_be_open(models: Path, start_server: StartServer, note: Note) -> None:
    program = ("sh", "-c", 'ulimit -n 100; exec "$0" "$@"', *GANSERVE)
    with start_server(models, program=program) as server, caller_of(server) as client:
        with ExitStack() as idle:
            for _ in range(200):
                idle.enter_context(RawConnection(server.address))
            num_answers = sum(len(client.generate(1)) for _ in range(100))
        with Client(server.address, model="digits", timeout_s=60) as later:
            assert len(later.generate(1)) == 1
        assert server.process.poll() is None
    note(
        fault="200 idle connections where 100 files may be open",
        load="one caller, who was there before, and one who comes after",
        expected="both are answered, the latter once others have gone",
        seen=f"{num_answers} of 100 calls answered, and the later one",
    )
    assert num_answers == 100


def test_rapid_resets_hold_nobody_up(models: Path, start_server: StartServer, size: Size, note: Note) -> None:
    num_connections, num_calls = size(2, 20), 20_000
    num_sent = 0
    waits_s = []
    with start_server(models) as server, caller_of(server) as client:
        before_mib = resident_mib(server.process.pid)
        for _ in range(num_connections):
            with RawConnection(server.address) as connection:
                num_sent += flood_with_resets(connection, num_calls)
                began_s = time.monotonic()
                client.generate(1)
                waits_s.append(time.monotonic() - began_s)
        grown_mib = resident_mib(server.process.pid) - before_mib
    note(
        fault=f"{num_sent:,} calls that are reset at once (HTTP/2 RST_STREAM)",
        load=f"{num_connections} connections one after the other, beside one caller",
        expected="the caller is answered meanwhile, memory bounded",
        seen=f"answered after {max(waits_s) * 1e3:.0f} ms at most; {grown_mib:+.0f} MiB",
    )
    assert grown_mib < 128
    assert not [line for line in server.log if "Traceback" in line]


def flood_with_resets(connection: RawConnection, most_calls: int) -> int:
    """Begins calls and takes them back, until the server has had enough of the connection; returns how many."""
    for number in range(most_calls):
        stream = 2 * number + 1
        try:
            connection.send(headers(stream, GENERATE) + message(stream, REQUEST) + reset(stream))
            while select.select([connection.socket], [], [], 0)[0]:
                if not connection.socket.recv(65536):
                    return number + 1
        except OSError:
            return number + 1
    return most_calls


@pytest.mark.parametrize("sent", WAYS_TO_STOP_HALFWAY.values(), ids=WAYS_TO_STOP_HALFWAY.keys())
def test_half_open_connections_hold_nobody_up(
    models: Path, start_server: StartServer, sent: bytes, request: pytest.FixtureRequest, note: Note
) -> None:
    num_connections, num_calls = 200, 100
    with start_server(models, "--grace-s", "2") as server, ExitStack() as half_open:
        with caller_of(server) as client:
            for _ in range(num_connections):
                connection = half_open.enter_context(RawConnection(server.address, greets=len(sent) > len(PREFACE)))
                connection.send(sent)
            num_answers = sum(len(client.generate(1)) for _ in range(num_calls))
        began_s = time.monotonic()
        code = server.stop()
        stopped_s = time.monotonic() - began_s
    note(
        fault=f"{num_connections} connections on which {request.node.callspec.id} came and no more",
        load="one caller, then SIGTERM, `--grace-s 2`",
        expected="the caller's calls are answered; exit 0 within the grace and a few seconds",
        seen=f"{num_answers} of {num_calls} answered; exit {code} after {stopped_s:.1f} s",
    )
    assert num_answers == num_calls
    assert code == 0
    assert stopped_s < 10
