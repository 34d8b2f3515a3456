"""Bytes that are no message of their method: a clear status for the caller, and a line now and then for the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from ganserve.v1.generator_pb2 import ListModelsRequest
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub

from ..servers import ServerProcess, StartServer
from .http2 import RawConnection, headers, message

SERVICE = "/ganserve.v1.GeneratorService/"
METHODS = (
    *(f"{SERVICE}{name}" for name in ("Generate", "GenerateMany", "StreamSamples", "GetModel", "ListModels")),
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
)
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

# Field 1, of the message's own kind, that says it is longer than it is; an unfinished number; and a name of no UTF-8.
UNDECODABLE = (b"\x0a\x7f", b"\xff", b"\x0a\x06\x0a\x04\x0a\x02\xff\xfe", b"\x0a\x04\x0a\x02\xff\xfe")

Call = Callable[[str, bytes], grpc.StatusCode]


@pytest.fixture(scope="module")
def call(server: ServerProcess) -> Iterator[Call]:
    """Sends bytes to a method and gives the status; one reply of a stream is enough."""
    channel: Any
    with grpc.insecure_channel(server.address) as channel:

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


def test_the_text_names_the_method(server: ServerProcess) -> None:
    channel: Any
    with grpc.insecure_channel(server.address) as channel:
        call = channel.unary_unary(SERVICE + "Generate").future(b"\xff", timeout=30)
        assert f"the request is no message that {SERVICE}Generate takes" in str(call.exception())


def test_thousands_of_them_are_a_few_lines_in_the_log(server: ServerProcess, call: Call) -> None:
    """Runs after those above."""
    for _ in range(200):
        call(SERVICE + "Generate", b"\xff")
    lines = [line for line in server.log if "a request was refused" in line]
    assert 1 <= len(lines) < 20
    assert "bytes are no message that /ganserve.v1.GeneratorService/" in lines[0]
    assert not [line for line in server.log if "Traceback" in line]


def test_a_method_whose_name_is_not_utf8_does_not_end_the_server(models: Path, start_server: StartServer) -> None:
    with start_server(models) as server:
        for _ in range(2):
            with RawConnection(server.address) as connection:
                connection.send(headers(1, b"/ganserve.v1.GeneratorService/\xff\xfe") + message(1, b""))
                connection.read_all()
            with grpc.insecure_channel(server.address) as channel:
                stub = GeneratorServiceStub(channel)
                assert stub.ListModels(ListModelsRequest(), timeout=30, wait_for_ready=True).models
        server.wait_for("gRPC takes no more calls, so it is started anew")
        assert server.stop() == 0
