"""Several requests in one call, over real gRPC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc.status_pb2 import Status

from ganserve.contract.grpc_keys import STATUS_DETAILS_KEY
from ganserve.contract.rows import Rows
from ganserve.runtime.sources import Source
from ganserve.serving.answers import Answers
from ganserve.serving.batcher import Batcher
from ganserve.serving.call_gate import CallGate
from ganserve.serving.health import Health
from ganserve.serving.model_watch import ModelWatch
from ganserve.serving.repository import Repository
from ganserve.serving.scheduler import Caller, Priority
from ganserve.serving.service import SERVICE_NAME, GeneratorService
from ganserve.v1 import generator_pb2
from ganserve.v1.generator_pb2 import (
    GenerateManyRequest,
    GenerateRequest,
    ImageEncoding,
    ImageFormat,
    ModelSelector,
    SampleAddress,
    SampleQuery,
    TimedRequest,
)
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub
from ganserve.v1.model_pb2 import ModelState

if TYPE_CHECKING:
    from ganserve.v1.generator_pb2_grpc import GeneratorServiceAsyncStub

MOST_SAMPLES = 100
IMAGE_BYTES = 6 * 5 * 3
Story = Callable[["GeneratorServiceAsyncStub"], Awaitable[None]]
Play = Callable[..., None]


@pytest.fixture
def play(tmp_path: Path, make_bundle: Callable[..., Path]) -> Play:
    """Plays a story with a stub for a service of its own."""

    @asynccontextmanager
    async def serving(max_reply_bytes: int) -> AsyncIterator[GeneratorServiceAsyncStub]:
        repository = Repository(device="cpu", num_lanes=1, max_batch=8, max_queued_rows=MOST_SAMPLES, max_wait_s=30.0)
        await repository.open(make_bundle(tmp_path))
        with ThreadPoolExecutor(1) as workers:
            watch = ModelWatch(repository, Health(), SERVICE_NAME)
            answers = Answers(repository, workers=workers, max_reply_bytes=max_reply_bytes, check_model=watch.check)
            answers.state = ModelState.MODEL_STATE_SERVING
            server = grpc.aio.server(interceptors=(CallGate(SERVICE_NAME, max_calls=100, stall_s=60),))
            server.add_generic_rpc_handlers((GeneratorService(answers).rpc_handler(),))
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield GeneratorServiceStub(channel)
            await server.stop(0)
        await repository.close()

    async def run(story: Story, max_reply_bytes: int) -> None:
        async with serving(max_reply_bytes) as stub:
            await story(stub)

    return lambda story, max_reply_bytes=2**20: asyncio.run(run(story, max_reply_bytes))


def asked(count: int = 1, *, name: str = "tiny", seed: int = 1, **fields: Any) -> GenerateRequest:
    address = SampleAddress(seed=seed, count=count)
    return GenerateRequest(query=SampleQuery(model=ModelSelector(name=name), address=address, **fields))


def together(*requests: GenerateRequest, remaining_s: float | None = None) -> GenerateManyRequest:
    return GenerateManyRequest(requests=[TimedRequest(request=one, remaining_s=remaining_s) for one in requests])


async def status_alone(stub: GeneratorServiceAsyncStub, request: GenerateRequest) -> Status:
    """What the request ends with when it is sent by itself."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Generate(request, timeout=10)
    error = caught.value
    packed = [value for key, value in error.trailing_metadata() or () if key == STATUS_DETAILS_KEY]
    details = Status.FromString(packed[0]).details if packed else ()
    return Status(code=error.code().value[0], message=error.details(), details=details)


def test_each_request_is_answered_as_if_it_were_alone(play: Play) -> None:
    png = ImageEncoding(format=ImageFormat.IMAGE_FORMAT_PNG)
    requests = [asked(3), asked(2, seed=9), asked(4, encoding=png)]

    async def story(stub: GeneratorServiceAsyncStub) -> None:
        reply = await stub.GenerateMany(together(*requests, remaining_s=10), timeout=10)
        assert [one.response for one in reply.outcomes] == [await stub.Generate(request) for request in requests]

    play(story)


def test_what_is_refused_is_refused_as_if_it_were_alone_and_its_mates_are_answered(play: Play) -> None:
    bad = [asked(0), asked(name="faces"), asked(MOST_SAMPLES + 1), asked(encoding=ImageEncoding(quality=200))]

    async def story(stub: GeneratorServiceAsyncStub) -> None:
        reply = await stub.GenerateMany(together(asked(2), *bad, asked(3)), timeout=10)
        first, *refused, last = reply.outcomes
        assert (first.response.batch.count, last.response.batch.count) == (2, 3)
        for request, outcome in zip(bad, refused, strict=True):
            assert outcome.HasField("refusal")
            assert Status.FromString(outcome.refusal.SerializeToString()) == await status_alone(stub, request)

    play(story)


def test_rows_are_admitted_for_each_request(play: Play) -> None:
    async def story(stub: GeneratorServiceAsyncStub) -> None:
        reply = await stub.GenerateMany(together(asked(60), asked(60), asked(40)), timeout=10)
        assert [one.WhichOneof("outcome") for one in reply.outcomes] == ["response", "refusal", "response"]
        assert "60 rows beside 60 that wait or run would exceed the 100" in reply.outcomes[1].refusal.message
        assert (await stub.GenerateMany(together(asked(60)))).outcomes[0].response.batch.count == 60

    play(story)


def test_bytes_are_counted_for_each_request(play: Play) -> None:
    async def story(stub: GeneratorServiceAsyncStub) -> None:
        reply = await stub.GenerateMany(together(asked(30), asked(30), asked(10)), timeout=10)
        assert [one.WhichOneof("outcome") for one in reply.outcomes] == ["response", "refusal", "response"]
        assert " of those under way would exceed the " in reply.outcomes[1].refusal.message

    play(story, 50 * IMAGE_BYTES)


def test_the_samples_of_all_have_to_fit_one_reply(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganserve.serving.service.REPLY_BYTES", 50 * (IMAGE_BYTES + 512))

    async def story(stub: GeneratorServiceAsyncStub) -> None:
        reply = await stub.GenerateMany(together(asked(30), asked(30), asked(20)), timeout=10)
        assert [one.WhichOneof("outcome") for one in reply.outcomes] == ["response", "refusal", "response"]
        assert "send this one by itself" in reply.outcomes[1].refusal.message

    play(story)


def test_each_request_has_its_own_time(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    deadlines: list[float | None] = []
    run = Batcher.run

    async def never(self: Batcher, source: Source, start: int, count: int, caller: Caller) -> Rows:
        deadlines.append(caller.deadline_s)
        if count == 2:
            await asyncio.Event().wait()
        return await run(self, source, start, count, caller)

    monkeypatch.setattr(Batcher, "run", never)
    request = GenerateManyRequest(
        requests=[
            TimedRequest(request=asked(1)),
            TimedRequest(request=asked(2), remaining_s=0.5),
            TimedRequest(request=asked(3), remaining_s=float("inf")),
            TimedRequest(request=asked(4), remaining_s=-1),
            TimedRequest(request=asked(5), remaining_s=float("nan")),
        ]
    )

    async def story(stub: GeneratorServiceAsyncStub) -> None:
        reply = await stub.GenerateMany(request)
        kinds = [one.response.batch.count or one.refusal.code for one in reply.outcomes]
        late = grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
        assert kinds == [1, late, 3, late, late]
        assert "deadline passed" in reply.outcomes[1].refusal.message
        assert (await stub.GenerateMany(together(asked(1)), timeout=10)).outcomes[0].response.batch.count == 1

    play(story)
    assert deadlines[0] is not None
    assert deadlines[0] > time.monotonic() + 20  # that of the server
    assert deadlines[1] is not None
    assert deadlines[-1] is not None  # that of the call


def test_each_request_has_its_own_priority(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[int, Priority] = {}
    run = Batcher.run

    async def watch(self: Batcher, source: Source, start: int, count: int, caller: Caller) -> Rows:
        seen[count] = caller.priority
        return await run(self, source, start, count, caller)

    monkeypatch.setattr(Batcher, "run", watch)
    bulk = asked(2)
    bulk.priority = generator_pb2.PRIORITY_BULK

    async def story(stub: GeneratorServiceAsyncStub) -> None:
        await stub.GenerateMany(together(asked(1), bulk), timeout=10)

    play(story)
    assert seen == {1: Priority.INTERACTIVE, 2: Priority.BULK}


def test_what_nobody_foresaw_is_logged_and_leaves_the_others_alone(
    play: Play, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = Batcher.run

    async def break_down(self: Batcher, source: Source, start: int, count: int, caller: Caller) -> Rows:
        if count == 2:
            raise RuntimeError("a secret of the server")
        return await run(self, source, start, count, caller)

    monkeypatch.setattr(Batcher, "run", break_down)

    async def story(stub: GeneratorServiceAsyncStub) -> None:
        reply = await stub.GenerateMany(together(asked(2), asked(3)), timeout=10)
        assert reply.outcomes[0].refusal.code == grpc.StatusCode.INTERNAL.value[0]
        assert reply.outcomes[0].refusal.message == "the server failed on this call; its log says why"
        assert reply.outcomes[1].response.batch.count == 3

    play(story)
    assert "a secret of the server" in caplog.text


@pytest.mark.parametrize("count", [0, 257])
def test_no_request_and_too_many_are_refused(play: Play, count: int) -> None:
    async def story(stub: GeneratorServiceAsyncStub) -> None:
        with pytest.raises(grpc.aio.AioRpcError, match=f"{count} requests in one call; send 1 to 256") as caught:
            await stub.GenerateMany(together(*[asked()] * count), timeout=10)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT

    play(story)
