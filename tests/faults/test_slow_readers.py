"""Streams that nobody reads: they hold a bounded part of the server's memory, and nobody else up."""

from __future__ import annotations

from pathlib import Path

import grpc
import numpy as np
import pytest

from ganserve.client import Client
from ganserve.v1.generator_pb2 import ModelSelector, SampleAddress, SampleQuery, StreamSamplesRequest
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub

from ..servers import StartServer
from .conftest import Note, Size
from .process import resident_mib
from .rooms import wait_for_room

PHOTOS = SampleQuery(model=ModelSelector(name="photos"), address=SampleAddress(seed=1, count=2**40))


def test_readers_that_never_read_hold_bounded_memory_and_nobody_else_up(
    models: Path, start_server: StartServer, size: Size, note: Note
) -> None:
    num_streams, num_calls = size(64, 256), size(100, 1_000)
    with (
        start_server(models, "--max-reply-mib", "64") as server,
        grpc.insecure_channel(server.address) as channel,
        Client(server.address, model="digits") as client,
    ):
        expected = client.generate(3, seed=1).numpy().tobytes()
        before_mib = resident_mib(server.process.pid)
        stub = GeneratorServiceStub(channel)
        streams = [stub.StreamSamples(StreamSamplesRequest(query=PHOTOS), timeout=600) for _ in range(num_streams)]
        assert next(iter(streams[0])).batch.count > 0
        answers = {client.generate(3, seed=1).numpy().tobytes() for _ in range(num_calls)}
        num_streamed = sum(map(len, client.stream(5_000, seed=1, timeout_s=30)))
        grown_mib = resident_mib(server.process.pid) - before_mib
        for stream in streams:
            stream.cancel()
        assert server.stop() == 0
    note(
        fault=f"{num_streams:,} readers that never read",
        load="endless streams of 48 KiB an image, `--max-reply-mib 64`, beside a caller of calls and of a stream",
        expected="memory grows by the 64 MiB and 2.5 MiB for each stream at most, the caller gets all",
        seen=f"{grown_mib:+.0f} MiB; {num_calls:,} calls answered, {num_streamed:,} of 5,000 images streamed",
    )
    assert answers == {expected}
    assert num_streamed == 5_000
    assert grown_mib < 64 + 2.5 * num_streams + 32


def test_a_stream_that_nobody_reads_gives_back_what_it_held(models: Path, start_server: StartServer) -> None:
    # Streams hold half of the replies at most, so the three calls that take nearly all of them tell when none does.
    flags = ("--max-reply-mib", "1", "--stall-s", "0.5")
    with start_server(models, *flags) as server, grpc.insecure_channel(server.address) as channel:
        stub = GeneratorServiceStub(channel)
        request = StreamSamplesRequest(query=PHOTOS, max_batch_size=1)
        calls = [stub.StreamSamples(request, timeout=120) for _ in range(3)]
        for call in calls:
            assert next(iter(call)).batch.count > 0
        server.wait_for("a stream was ended whose reader took nothing for 0.5 s")
        wait_for_room(stub)
        for call in calls:
            with pytest.raises(grpc.RpcError, match=r"nothing of the stream was taken for 0\.5 s"):
                list(call)
            assert call.code() is grpc.StatusCode.UNAVAILABLE


def test_a_client_that_pauses_goes_on_where_it_stopped(models: Path, start_server: StartServer) -> None:
    with (
        start_server(models, "--stall-s", "0.2") as server,
        Client(server.address, model="photos") as client,
    ):
        stream = client.stream(400, seed=1)
        samples = [next(stream)]
        server.wait_for("a stream was ended whose reader took nothing for 0.2 s")
        samples += list(stream)
        assert [part.first_index for part in samples] == list(np.cumsum([0, *map(len, samples)])[:-1])
        assert sum(map(len, samples)) == 400
