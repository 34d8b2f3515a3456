from __future__ import annotations

import asyncio
import threading
import traceback
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import Status

from ganserve.client import AsyncClient, Client, GanserveError, RequestError, ServerError
from ganserve.client._transport.errors import request_error
from ganserve.contract.errors import request_error_type

from .conftest import Connect
from .scripted import Failure, Script, ScriptedServer

pytestmark = pytest.mark.coalescing_too

FAILING_CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


def ended_by(code: grpc.StatusCode, connect: Connect, server: ScriptedServer, **failure: Any) -> RequestError:
    server.script.generate.extend([Failure(code, **failure)] * 4)
    with pytest.raises(RequestError) as caught:
        connect(server.address, retry_for_s=0).generate(1)
    return caught.value


@pytest.mark.parametrize("code", FAILING_CODES, ids=lambda code: code.name)
def test_every_status_ends_in_an_error_of_the_tree(
    connect: Connect, server: ScriptedServer, code: grpc.StatusCode
) -> None:
    error = ended_by(code, connect, server, details="first line\nsecond line")
    assert type(error) is request_error_type("UNAVAILABLE" if code is grpc.StatusCode.CANCELLED else code.name)
    assert "first line second line" in str(error)
    assert isinstance(error, GanserveError)


def test_a_call_that_the_server_gives_up_is_asked_again(connect: Connect, server: ScriptedServer) -> None:
    server.script.generate.append(Failure(grpc.StatusCode.CANCELLED))
    assert len(connect(server.address).generate(1)) == 1


def test_errors_that_blame_the_server_say_which(connect: Connect, server: ScriptedServer) -> None:
    assert server.address in str(ended_by(grpc.StatusCode.DATA_LOSS, connect, server))


def test_a_reason_of_the_server_for_a_missed_deadline_is_kept(connect: Connect, server: ScriptedServer) -> None:
    error = ended_by(grpc.StatusCode.DEADLINE_EXCEEDED, connect, server, details="the queue is too long")
    assert str(error) == "the queue is too long"


def test_field_and_wait_come_together(connect: Connect, server: ScriptedServer) -> None:
    error = ended_by(
        grpc.StatusCode.RESOURCE_EXHAUSTED, connect, server, field="query.address.count", retry_after_s=1.5
    )
    assert (error.field, error.retry_after_s) == ("query.address.count", 1.5)


@pytest.mark.parametrize("raw_details", [b"", b"\xff\xff\xff", b"\x1a\x03\x0a\x01x"])
def test_torn_details_are_left_out(connect: Connect, server: ScriptedServer, raw_details: bytes) -> None:
    error = ended_by(grpc.StatusCode.NOT_FOUND, connect, server, raw_details=raw_details)
    assert (error.field, error.retry_after_s) == ("", None)


def test_a_failure_without_a_status_is_the_servers() -> None:
    assert type(request_error(grpc.RpcError("odd"), "host:1", 1.0)) is ServerError


def test_a_method_that_the_server_does_not_know(connect: Connect, server: ScriptedServer, script: Script) -> None:
    script.generate.append(Failure(grpc.StatusCode.UNIMPLEMENTED))
    with pytest.raises(RequestError, match="is it a ganserve server"):
        connect(server.address).generate(1)


def test_a_refused_call_shows_our_error_and_not_grpcs(connect: Connect, server: ScriptedServer) -> None:
    error = ended_by(grpc.StatusCode.INTERNAL, connect, server)
    shown = "".join(traceback.format_exception(error))
    assert "RpcError" not in shown
    assert "During handling" not in shown
    assert "direct cause" not in shown


def test_the_traceback_of_a_refused_call_is_short(server: ScriptedServer) -> None:
    async def ask() -> None:
        async with AsyncClient(server.address, model="digits") as client:
            await client.generate(1)

    with Client(server.address, model="digits") as client:
        stream = client.stream(1)
        for call in (lambda: client.generate(1), lambda: next(stream), lambda: asyncio.run(ask())):
            server.script.generate.append(Failure(grpc.StatusCode.INTERNAL))
            server.script.stream.append((0, Failure(grpc.StatusCode.INTERNAL)))
            with pytest.raises(ServerError) as caught:
                call()
            ours = [frame for frame in traceback.extract_tb(caught.value.__traceback__) if "clients" in frame.filename]
            assert len(ours) <= 1, ours


@pytest.mark.parametrize("sent", ["", "the reason, cut…"])
def test_a_text_that_is_whole_in_the_details_alone(connect: Connect, server: ScriptedServer, sent: str) -> None:
    whole = Status(message="the reason, cut by a server for which it was too long").SerializeToString()
    error = ended_by(grpc.StatusCode.INVALID_ARGUMENT, connect, server, details=sent, raw_details=whole)
    assert str(error) == "the reason, cut by a server for which it was too long"


def test_a_cut_text_is_shown_where_there_is_no_other(connect: Connect, server: ScriptedServer) -> None:
    error = ended_by(grpc.StatusCode.INVALID_ARGUMENT, connect, server, details="the reason, cut…", raw_details=b"")
    assert str(error) == "the reason, cut…"


def test_cancelling_a_task_stays_a_cancellation(server: ScriptedServer) -> None:
    async def cancel_midway() -> None:
        async with AsyncClient(server.address, model="digits") as client:
            await client.get_model()
            task = asyncio.create_task(client.generate(50))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    server.script.hold = threading.Event()
    asyncio.run(cancel_midway())
