from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ganserve.serving.log_stream import LogStream


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe that is full: where to read, and where to write."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while os.write(writer, b"x" * 4096):
            pass
    except BlockingIOError:
        os.set_blocking(writer, True)
    yield reader, writer
    os.close(reader)


def read_rest(reader: int) -> list[str]:
    """The lines behind what filled the pipe."""
    with os.fdopen(os.dup(reader), encoding="utf-8") as stream:
        return stream.read().lstrip("x").splitlines()


def test_lines_are_written_in_their_order() -> None:
    reader, writer = os.pipe()
    with LogStream(writer) as stream:
        for number in range(1_000):
            assert stream.write(f"line {number} é\n") == len(f"line {number} é\n")
            stream.flush()
    os.close(writer)
    assert read_rest(reader) == [f"line {number} é" for number in range(1_000)]
    os.close(reader)


def test_nobody_waits_for_a_full_pipe_and_what_was_lost_is_told(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    stream = LogStream(writer, max_lines=10)
    for number in range(500):
        stream.write(f"line {number}\n")
    assert os.read(reader, 2**20)  # somebody reads after all
    stream.write("and then\n")
    stream.close()
    os.close(writer)
    lines = read_rest(reader)
    told = [line for line in lines if line.endswith("lines of the log were lost")]
    assert len(lines) <= 10 + 3
    assert sum(int(line.split()[0]) for line in told) + len(lines) - len(told) == 501


def test_closing_does_not_wait_for_a_pipe_that_nobody_reads(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    stream = LogStream(writer)
    stream.write("line\n")
    stream.close()
    os.read(reader, 2**20)
    stream._thread.join(60)
    os.close(writer)


def test_a_full_disk_is_no_error() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    with LogStream(descriptor) as stream:
        for _ in range(100):
            stream.write("line\n")
    os.close(descriptor)
