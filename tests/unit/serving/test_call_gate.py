"""The gate in front of a small service of its own, over real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status

from ganserve.contract.errors import InvalidRequestError
from ganserve.serving import call_gate
from ganserve.serving.access import Access
from ganserve.serving.call_gate import CallGate
from ganserve.serving.counted_call import current_identity
from ganserve.serving.scopes import Scope
from ganserve.serving.tokens import Grant, hash_token

SERVICE = "test.Service"
OTHER = "test.Other"
MIB = 2**20


class Parrot:
    """Says what it is told, once it may, in one reply or in many.

    Attributes:
        may_speak: what every call waits for.
        began: set by a call.
        stream_ended: set by a stream that is closed.
        callers: names of the tokens of those who spoke.
    """

    def __init__(self) -> None:
        self.may_speak = asyncio.Event()
        self.may_speak.set()
        self.began = asyncio.Event()
        self.stream_ended = asyncio.Event()
        self.callers: list[str | None] = []

    async def say(self, request: bytes, context: Any) -> bytes:  # noqa: ARG002
        identity = current_identity()
        self.callers.append(identity.name if identity else None)
        self.began.set()
        await self.may_speak.wait()
        if request.startswith(b"!"):
            raise InvalidRequestError(request[1:].decode(), field="request")
        return request

    async def repeat(self, request: bytes, context: Any) -> AsyncIterator[bytes]:  # noqa: ARG002
        try:
            while True:
                yield request
        finally:
            self.stream_ended.set()


Say = Callable[..., "grpc.aio.UnaryUnaryCall[bytes, bytes]"]


class Stage:
    """A server with a gate, and a client."""

    def __init__(self, channel: grpc.aio.Channel, server: grpc.aio.Server, gate: CallGate, parrot: Parrot) -> None:
        self.server = server
        self.gate = gate
        self.parrot = parrot
        self.say: Say = channel.unary_unary(f"/{SERVICE}/Say")
        self.say_other: Say = channel.unary_unary(f"/{OTHER}/Say")
        self.repeat: Any = channel.unary_stream(f"/{SERVICE}/Repeat")
        self.repeat_other: Any = channel.unary_stream(f"/{OTHER}/Repeat")


def play(
    story: Callable[[Stage], Awaitable[None]],
    *,
    max_calls: int = 100,
    stall_s: float = 60,
    access: Access | None = None,
) -> None:
    async def run() -> None:
        gate = CallGate(SERVICE, max_calls=max_calls, stall_s=stall_s, access=access)
        parrot = Parrot()
        server = grpc.aio.server(interceptors=(gate,))
        methods = {
            "Say": grpc.unary_unary_rpc_method_handler(parrot.say, bytes, bytes),
            "Repeat": grpc.unary_stream_rpc_method_handler(parrot.repeat, bytes, bytes),
        }
        for service in (SERVICE, OTHER):
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                await story(Stage(channel, server, gate, parrot))
        finally:
            await server.stop(0)

    asyncio.run(asyncio.wait_for(run(), 60))


TOKENS = {"reader": Scope.GENERATE, "owner": Scope.ADMIN}


@pytest.fixture
def access(tmp_path: Path) -> Access:
    grants = [Grant(name=name, sha256=hash_token(name), scopes=frozenset({scope})) for name, scope in TOKENS.items()]
    (tmp_path / "tokens.toml").write_text("".join(f"{grant.line()}\n" for grant in grants))
    return Access(tmp_path / "tokens.toml")


async def spoken(stage: Stage, num_calls: int) -> None:
    """Waits until so many calls have reached the parrot."""
    while len(stage.parrot.callers) < num_calls:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def read_all(call: Any) -> None:
    while await call.read():
        pass


def details_of(error: grpc.aio.AioRpcError) -> Status:
    metadata = dict(error.trailing_metadata())
    return Status.FromString(metadata["grpc-status-details-bin"])


@pytest.mark.parametrize("character", ["x", "é", "中", "\U0001f600", "%"])
def test_a_text_of_10_kb_arrives_cut_and_as_its_own_status(character: str) -> None:
    text = character * (10_000 // len(character.encode()))

    async def story(stage: Stage) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stage.say(f"!{text}".encode())
        told = caught.value.details() or ""
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert len(told.encode()) > 1_000
        assert text.startswith(told.removesuffix("…"))
        status, bad_request = details_of(caught.value), BadRequest()
        # What grpcio-status holds a call's details against.
        assert (status.code, status.message) == (grpc.StatusCode.INVALID_ARGUMENT.value[0], told)
        assert status.details[0].Unpack(bad_request)
        assert bad_request.field_violations[0].field == "request"

    play(story)


def test_a_call_too_many_is_told_when_to_come_back(caplog: pytest.LogCaptureFixture) -> None:
    async def story(stage: Stage) -> None:
        stage.parrot.may_speak.clear()
        calls = [asyncio.ensure_future(stage.say(b"a")) for _ in range(5)]
        done, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        while len(done) < 2:
            more, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            done |= more
        other = asyncio.ensure_future(stage.say_other(b"b"))
        for call in done:
            error = call.exception()
            assert isinstance(error, grpc.aio.AioRpcError)
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert details_of(error).details[0].Unpack(RetryInfo())
        stage.parrot.may_speak.set()
        assert await asyncio.gather(*waiting) == [b"a"] * 3
        assert await other == b"b"
        assert await stage.say(b"c") == b"c"

    play(story, max_calls=3)
    assert len([record for record in caplog.records if "--max-calls 3" in record.getMessage()]) == 1


def test_few_large_requests_are_there_at_once() -> None:
    async def story(stage: Stage) -> None:
        stage.parrot.may_speak.clear()
        large = [asyncio.ensure_future(stage.say(bytes(MIB + 1))) for _ in range(5)]
        await spoken(stage, 2)
        small = asyncio.ensure_future(stage.say(b"a"))
        await spoken(stage, 3)
        await asyncio.sleep(0.1)
        assert len(stage.parrot.callers) == 3
        stage.parrot.may_speak.set()
        assert await small == b"a"
        assert [len(reply) for reply in await asyncio.gather(*large)] == [MIB + 1] * 5

    play(story)


def test_a_stream_that_nobody_reads_is_ended() -> None:
    async def story(stage: Stage) -> None:
        call = stage.repeat(bytes(MIB))
        assert len(await call.read()) == MIB
        await stage.parrot.stream_ended.wait()
        await stage.gate.emptied(timeout_s=60)
        with pytest.raises(grpc.aio.AioRpcError, match=r"nothing of the stream was taken for 0\.2 s") as caught:
            await read_all(call)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

    play(story, stall_s=0.2)


def test_a_reply_that_cannot_be_sent_is_no_fault_of_the_server(caplog: pytest.LogCaptureFixture) -> None:
    class Lost:
        async def write(self, reply: bytes) -> None:  # noqa: ARG002
            raise grpc.aio.InternalError

        async def abort(self, code: grpc.StatusCode, *_: object) -> None:
            self.code = code

        def add_done_callback(self, callback: object) -> None: ...

        def invocation_metadata(self) -> None: ...

    class Details:
        method = f"/{SERVICE}/Repeat"

    async def story() -> None:
        gate, context = CallGate(SERVICE, max_calls=1, stall_s=60), Lost()
        handler: Any = grpc.unary_stream_rpc_method_handler(Parrot().repeat, bytes, bytes)

        async def find(_: object) -> Any:
            return handler

        guarded: Any = await gate.intercept_service(find, Details())  # type: ignore[arg-type]
        await guarded.unary_stream(b"a", context)
        assert context.code is grpc.StatusCode.UNAVAILABLE

    asyncio.run(story())
    assert not caplog.records


def test_a_stalled_stream_counts_as_a_call_until_its_reader_leaves() -> None:
    """What it had on its way is still in gRPC's memory."""

    async def story(stage: Stage) -> None:
        call = stage.repeat(bytes(MIB))
        assert len(await call.read()) == MIB
        await stage.parrot.stream_ended.wait()
        with pytest.raises(grpc.aio.AioRpcError, match="no more calls at once than 1"):
            await stage.say(b"a")
        call.cancel()
        while True:
            try:
                assert await stage.say(b"a") == b"a"
                return
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # noqa: PT017

    play(story, max_calls=1, stall_s=0.2)


def test_a_held_gate_lets_nothing_begin_or_end_until_it_is_closed() -> None:
    async def story(stage: Stage) -> None:
        stage.parrot.may_speak.clear()
        running = asyncio.ensure_future(stage.say(b"running"))
        await stage.parrot.began.wait()
        stage.gate.hold()
        stage.parrot.may_speak.set()
        late = asyncio.ensure_future(stage.say(b"late"))
        other = asyncio.ensure_future(stage.say_other(b"other"))
        done, _ = await asyncio.wait((running, late, other), timeout=0.5)
        assert not done
        stage.gate.close()
        assert await running == b"running"
        assert await other == b"other"
        with pytest.raises(grpc.aio.AioRpcError, match="the server is stopping") as caught:
            await late
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        await stage.gate.emptied(timeout_s=60)

    play(story)


def test_a_caller_that_leaves_a_held_gate_is_forgotten() -> None:
    async def story(stage: Stage) -> None:
        stage.parrot.may_speak.clear()
        call = stage.say(b"a")
        await stage.parrot.began.wait()
        stage.gate.hold()
        call.cancel()
        await stage.gate.emptied(timeout_s=60)
        assert stage.gate.num_calls == 0

    play(story)


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def test_whoever_calls_is_known_to_the_handler_and_to_no_other_call(access: Access) -> None:
    """The services of this stage stand in no table, and so are for administrators."""

    async def story(stage: Stage) -> None:
        await asyncio.gather(*(stage.say(b"a", metadata=bearer("owner")) for _ in range(5)))
        assert stage.parrot.callers == ["owner"] * 5

    play(story, access=access)
    assert current_identity() is None


def test_whoever_is_refused_is_told_why_and_so_is_the_log(access: Access, caplog: pytest.LogCaptureFixture) -> None:
    async def story(stage: Stage) -> None:
        for call, token, status in (
            (stage.say, "nobody", grpc.StatusCode.UNAUTHENTICATED),
            (stage.say_other, "reader", grpc.StatusCode.PERMISSION_DENIED),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(b"a", metadata=bearer(token))
            assert caught.value.code() is status
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await read_all(stage.repeat(b"a", metadata=bearer(token)))
            assert caught.value.code() is status
        assert not stage.parrot.began.is_set()

    play(story, access=access)
    (record,) = caplog.records  # of four
    assert "test.Service/Say was refused to ipv" in record.getMessage()
    assert "nobody" not in record.getMessage()


def test_streams_of_other_services_have_a_bound_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_gate, "_MAX_OTHER_STREAMS", 2)

    async def story(stage: Stage) -> None:
        streams = [stage.repeat_other(b"a") for _ in range(2)]
        for stream in streams:
            await stream.read()
        with pytest.raises(grpc.aio.AioRpcError, match="no more such streams at once than 2") as caught:
            await read_all(stage.repeat_other(b"a"))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await stage.say_other(b"probe") == b"probe"
        assert await stage.repeat(b"a").read() == b"a"
        streams[0].cancel()
        while True:
            try:
                assert await stage.repeat_other(b"a").read() == b"a"
                return
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # noqa: PT017

    play(story)
