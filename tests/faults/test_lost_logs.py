"""A log that cannot be written: the server serves all the same, and its exit code says how it stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from ganserve.client import Client

from ..servers import GANSERVE
from .conftest import Note

# How a shell starts a server whose log goes nowhere.
LOSSES = {
    "a full disk": 'exec "$0" "$@" 2>/dev/full',
    "a stderr that is closed": 'exec "$0" "$@" 2>&-',
    "no standard stream at all": 'exec "$0" "$@" <&- >&- 2>&-',
}


@contextmanager
def process_of(command: list[str], ready: Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A server whose log nobody can read, once it serves."""
    process = subprocess.Popen(command, **options)
    try:
        end_s = time.monotonic() + 60
        while not ready.exists():
            assert process.poll() is None, process.returncode
            assert time.monotonic() < end_s
            time.sleep(0.01)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(60)


def serve(models: Path, ready: Path) -> list[str]:
    return [*GANSERVE, "serve", "--models", str(models), "--listen", "127.0.0.1:0", "--ready-file", str(ready)]


def provoke_lines(address: str, num_calls: int) -> None:
    """Has the server write of requests that it cannot read."""
    channel: Any
    with grpc.insecure_channel(address) as channel:
        for number in range(num_calls):
            call = channel.unary_unary(f"/grpc.health.v1.Health/{'Check' if number % 2 else 'Watch'}").future(b"\xff")
            assert call.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("loss", LOSSES)
def test_a_log_that_cannot_be_written(models: Path, tmp_path: Path, loss: str, note: Note) -> None:
    ready = tmp_path / "address"
    with process_of(["sh", "-c", LOSSES[loss], *serve(models, ready)], ready) as process:
        address = ready.read_text().strip()
        provoke_lines(address, 20)
        with Client(address, model="digits") as client:
            num_answers = sum(len(client.generate(1)) for _ in range(100))
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
    note(
        fault=f"{loss} under the log",
        load="one caller, requests that are logged, then SIGTERM",
        expected="all calls are answered, exit 0",
        seen=f"{num_answers} of 100 answered, exit {code}",
    )
    assert num_answers == 100
    assert code == 0


def test_a_log_that_nobody_reads(models: Path, tmp_path: Path, note: Note) -> None:
    ready = tmp_path / "address"
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while os.write(writer, bytes(4096)):
            pass
    except BlockingIOError:
        os.set_blocking(writer, True)
    with process_of(serve(models, ready), ready, stderr=writer) as process:
        os.close(writer)
        address = ready.read_text().strip()
        with Client(address, model="digits") as client:
            num_answers = sum(len(client.generate(1)) for _ in range(100))
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
    os.close(reader)
    note(
        fault="a log that nobody reads, in a pipe that is full",
        load="one caller, then SIGTERM",
        expected="all calls are answered, exit 0",
        seen=f"{num_answers} of 100 answered, exit {code}",
    )
    assert num_answers == 100
    assert code == 0
