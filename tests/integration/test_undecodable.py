"""Bytes that are no message of their method: a clear status for the caller, and a line now and then for the log."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from ganserve.v1.generator_pb2 import (
    Balanced,
    ClassList,
    ClassReference,
    ExplicitLatents,
    GenerateRequest,
    GetModelRequest,
    ImageEncoding,
    ImageFormat,
    LabelPolicy,
    ListModelsRequest,
    ModelSelector,
    SampleAddress,
    SampleQuery,
    StreamSamplesRequest,
)
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub

from .conftest import ServerProcess, StartServer

SERVICE = "/ganserve.v1.GeneratorService/"
DIGITS = ModelSelector(name="digits", version=1)
QUERIES = (
    SampleQuery(
        model=DIGITS,
        address=SampleAddress(seed=7, first_index=3, count=2, truncation=0.5),
        labels=LabelPolicy(list=ClassList(classes=[ClassReference(name="3"), ClassReference(label=1)])),
        encoding=ImageEncoding(format=ImageFormat.IMAGE_FORMAT_JPEG, quality=80),
    ),
    SampleQuery(
        model=DIGITS,
        latents=ExplicitLatents(dim=16, values=bytes(64)),
        labels=LabelPolicy(one=ClassReference(label=4)),
    ),
    SampleQuery(model=DIGITS, address=SampleAddress(count=1), labels=LabelPolicy(balanced=Balanced())),
)
MESSAGES: dict[str, list[Message]] = {
    SERVICE + "Generate": [GenerateRequest(query=query) for query in QUERIES],
    SERVICE + "StreamSamples": [StreamSamplesRequest(query=query, max_batch_size=2) for query in QUERIES],
    SERVICE + "GetModel": [GetModelRequest(model=DIGITS)],
    SERVICE + "ListModels": [ListModelsRequest()],
}
METHODS = (*MESSAGES, "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch")
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
NUM_MUTANTS = 400

# Field 1, of the message's own kind, that says it is longer than it is; an unfinished number; and a name of no UTF-8.
UNDECODABLE = (b"\x0a\x7f", b"\xff", b"\x0a\x06\x0a\x04\x0a\x02\xff\xfe", b"\x0a\x04\x0a\x02\xff\xfe")

Call = Callable[[str, bytes], grpc.StatusCode]


@pytest.fixture(scope="module")
def own_server(models: Path, start_server: StartServer) -> Iterator[ServerProcess]:
    with start_server(models) as server:
        yield server


@pytest.fixture(scope="module")
def call(own_server: ServerProcess) -> Iterator[Call]:
    """Sends bytes to a method and gives the status; one reply of a stream is enough."""
    channel: Any
    with grpc.insecure_channel(own_server.address) as channel:

        def send(method: str, request: bytes) -> grpc.StatusCode:
            if method == REFLECTION:
                replies = channel.stream_stream(method)(iter([request]), timeout=30)
            else:
                replies = channel.unary_stream(method)(request, timeout=30)
            try:
                next(iter(replies), None)
            except grpc.RpcError:
                code: grpc.StatusCode = replies.code()
                return code
            replies.cancel()
            return grpc.StatusCode.OK

        yield send


@pytest.mark.parametrize("method", [*METHODS, REFLECTION])
def test_what_cannot_be_decoded_is_an_invalid_argument(call: Call, method: str) -> None:
    statuses = [call(method, data) for data in UNDECODABLE[:2]]
    assert set(statuses) == {grpc.StatusCode.INVALID_ARGUMENT}


def test_a_name_that_is_not_utf8_is_an_invalid_argument(call: Call) -> None:
    assert call(SERVICE + "Generate", UNDECODABLE[2]) is grpc.StatusCode.INVALID_ARGUMENT
    assert call(SERVICE + "GetModel", UNDECODABLE[3]) is grpc.StatusCode.INVALID_ARGUMENT


def test_the_text_names_the_method(own_server: ServerProcess) -> None:
    channel: Any
    with grpc.insecure_channel(own_server.address) as channel:
        call = channel.unary_unary(SERVICE + "Generate").future(b"\xff", timeout=30)
        assert f"the request is no message that {SERVICE}Generate takes" in str(call.exception())


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, left out, put in or repeated; or nothing but noise."""
    mutant = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        place = rng.randint(0, len(mutant))
        action = rng.randrange(5)
        if action == 0 and mutant:
            mutant[min(place, len(mutant) - 1)] = rng.randrange(256)
        elif action == 1:
            del mutant[place : place + rng.randint(1, 8)]
        elif action == 2:
            mutant[place:place] = rng.randbytes(rng.randint(1, 8))
        elif action == 3:
            mutant[place:place] = mutant[rng.randint(0, place) : place]
        else:
            mutant = bytearray(rng.randbytes(rng.randint(0, 64)))
    return bytes(mutant)


@pytest.mark.parametrize("method", MESSAGES)
def test_no_request_is_beyond_what_the_server_foresees(call: Call, method: str) -> None:
    rng = random.Random(method)  # noqa: S311 (keeps no secret)
    foreseen = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION"}
    for i in range(NUM_MUTANTS):
        mutant = mutate(MESSAGES[method][i % len(MESSAGES[method])].SerializeToString(), rng)
        status = call(method, mutant)
        assert status.name in foreseen, (status, mutant)


def test_thousands_of_them_are_a_few_lines_in_the_log(own_server: ServerProcess, call: Call) -> None:
    """Runs after those above."""
    for _ in range(200):
        call(SERVICE + "Generate", b"\xff")
    lines = [line for line in own_server.log if "a request was refused" in line]
    assert 1 <= len(lines) < 20
    assert "bytes are no message that /ganserve.v1.GeneratorService/" in lines[0]
    assert not [line for line in own_server.log if "Traceback" in line]


def test_a_method_whose_name_is_not_utf8_does_not_end_the_server(models: Path, start_server: StartServer) -> None:
    with start_server(models) as server:
        for _ in range(2):
            send_http2(server.address, b"/ganserve.v1.GeneratorService/\xff\xfe")
            with grpc.insecure_channel(server.address) as channel:
                stub = GeneratorServiceStub(channel)
                request = GenerateRequest(query=QUERIES[0])
                assert stub.Generate(request, timeout=30, wait_for_ready=True).batch.count == 2
        server.wait_for("gRPC takes no more calls, so it is started anew")
        assert server.stop() == 0


def send_http2(address: str, path: bytes) -> None:
    """A gRPC call as no gRPC library would make it: HTTP/2 with prior knowledge, its headers uncompressed."""

    def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload

    headers = {b":method": b"POST", b":scheme": b"http", b":path": path, b":authority": b"localhost"}
    headers |= {b"te": b"trailers", b"content-type": b"application/grpc"}
    block = b"".join(
        b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value for name, value in headers.items()
    )
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
        connection.sendall(frame(1, 4, 1, block) + frame(0, 1, 1, bytes(5)))
        while connection.recv(4096):
            pass
