"""Requests that are too large, or ask for too much: refused at once, and at no cost to anybody."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import grpc
import pytest

from ganserve.v1.generator_pb2 import (
    ClassList,
    ClassReference,
    ExplicitLatents,
    GenerateManyRequest,
    GenerateRequest,
    LabelPolicy,
    ModelSelector,
    SampleAddress,
    SampleQuery,
    StreamSamplesRequest,
    TimedRequest,
)
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub

from ..servers import ServerProcess
from .conftest import Note, Size
from .process import resident_mib

MIB = 2**20
PHOTO_BYTES = 128 * 128 * 3


def large_request(num_bytes: int) -> bytes:
    """A GenerateRequest of that length."""
    request = GenerateRequest(query=SampleQuery(model=ModelSelector(name="digits"), latents=ExplicitLatents(dim=16)))
    request.query.latents.values = bytes(num_bytes)
    request.query.latents.values = bytes(2 * num_bytes - request.ByteSize())
    assert request.ByteSize() == num_bytes
    return request.SerializeToString()


def swelling_request(num_bytes: int) -> bytes:
    """A GenerateRequest that takes 25 times as much memory once it is decoded: labels that say nothing, without end."""
    request = GenerateRequest(query=SampleQuery(model=ModelSelector(name="photos"), address=SampleAddress(count=1)))
    labels = LabelPolicy(list=ClassList(classes=[ClassReference()] * 1000))
    more = GenerateRequest(query=SampleQuery(labels=labels)).SerializeToString()
    head = request.SerializeToString()
    return head + more * ((num_bytes - len(head)) // len(more))  # of messages that follow one another, lists are joined


def held_a_second_later_mib(server: ServerProcess) -> float:
    """Memory that a server holds when it has had the time to give back what it does not need."""
    time.sleep(1)
    return resident_mib(server.process.pid)


def test_what_refused_requests_took_is_given_back(server: ServerProcess, size: Size, note: Note) -> None:
    num_together, num_rounds = 8, size(2, 10)
    data = swelling_request(8 * MIB)
    channel: Any
    grown_mib = []
    with grpc.insecure_channel(server.address) as channel:
        call = channel.unary_unary("/ganserve.v1.GeneratorService/Generate")
        before_mib = resident_mib(server.process.pid)
        for _ in range(num_rounds):
            codes = {reply.code() for reply in [call.future(data, timeout=120) for _ in range(num_together)]}
            assert codes == {grpc.StatusCode.INVALID_ARGUMENT}
            grown_mib.append(held_a_second_later_mib(server) - before_mib)
    note(
        fault="requests of 8 MiB that take 200 MiB once they are decoded",
        load=f"{num_rounds} times {num_together} at once, on one connection",
        expected="INVALID_ARGUMENT; a second later at most 128 MiB more are held than before",
        seen=f"{max(grown_mib):+.0f} MiB at most, {grown_mib[-1]:+.0f} MiB at the end",
    )
    assert max(grown_mib) <= 128


def test_a_request_of_8_mib_and_a_byte_is_refused(server: ServerProcess, size: Size, note: Note) -> None:
    num_calls = size(8, 100)
    data = large_request(8 * MIB + 1)
    codes: Counter[str] = Counter()
    channel: Any
    with grpc.insecure_channel(server.address) as channel:
        before_mib = 0.0
        for number in range(num_calls):
            if number == num_calls // 2:  # by then gRPC's threads have each kept what the C library lets them keep
                before_mib = resident_mib(server.process.pid)
            call = channel.unary_unary("/ganserve.v1.GeneratorService/Generate").future(data, timeout=60)
            codes[call.code().name] += 1
        grown_mib = resident_mib(server.process.pid) - before_mib
        stub = GeneratorServiceStub(channel)
        query = SampleQuery(model=ModelSelector(name="digits"), address=SampleAddress(seed=1, count=1))
        assert stub.Generate(GenerateRequest(query=query), timeout=30).batch.count == 1
    note(
        fault=f"{num_calls} requests of 8 MiB + 1",
        load="one connection, which goes on",
        expected="RESOURCE_EXHAUSTED; the second half adds less than 64 MiB",
        seen=f"{', '.join(f'{count} {status}' for status, count in codes.items())}; {grown_mib:+.0f} MiB",
    )
    assert set(codes) == {"RESOURCE_EXHAUSTED"}
    assert grown_mib < 64


def test_a_gigabyte_of_pixels_is_refused_at_once_and_streamed_in_parts(server: ServerProcess, note: Note) -> None:
    address = SampleAddress(seed=1, count=2**30 // PHOTO_BYTES + 1)
    query = SampleQuery(model=ModelSelector(name="photos"), address=address)
    one, many = GenerateRequest(query=query), GenerateManyRequest(requests=[TimedRequest()])
    many.requests[0].request.CopyFrom(one)
    with grpc.insecure_channel(server.address) as channel:
        stub = GeneratorServiceStub(channel)
        before_mib = resident_mib(server.process.pid)
        with pytest.raises(grpc.RpcError, match="one reply cannot hold") as caught:
            stub.Generate(one, timeout=30)
        (outcome,) = stub.GenerateMany(many, timeout=30).outcomes
        stream: Any = stub.StreamSamples(StreamSamplesRequest(query=query), timeout=60)
        part = next(stream)
        stream.cancel()
        grown_mib = resident_mib(server.process.pid) - before_mib
    refused: Any = caught.value
    note(
        fault="a request for a gigabyte of pixels",
        load="as one call, as one of a joint call, and as a stream that is left after one part",
        expected="INVALID_ARGUMENT; the stream begins, and its memory is bounded",
        seen=f"{refused.code().name}, the stream's first part has {part.batch.count} images; {grown_mib:+.0f} MiB",
    )
    assert refused.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert outcome.refusal.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert len(part.batch.pixels) == part.batch.count * PHOTO_BYTES
    assert grown_mib < 96
