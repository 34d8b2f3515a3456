"""The service over real gRPC, in states that a whole server passes through too quickly to be caught in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from ganserve.contract.grpc_keys import CALL_TIMES_KEY, PROFILE_KEY
from ganserve.runtime.sources import Source, open_source
from ganserve.serving import scheduler
from ganserve.serving.answers import Answers
from ganserve.serving.batcher import Batcher
from ganserve.serving.call_gate import CallGate
from ganserve.serving.health import Health
from ganserve.serving.model_watch import ModelWatch
from ganserve.serving.repository import Repository
from ganserve.serving.service import SERVICE_NAME, GeneratorService
from ganserve.v1 import generator_pb2
from ganserve.v1.generator_pb2 import (
    CallTimes,
    ClassList,
    ClassReference,
    ClassWeight,
    GenerateRequest,
    GenerateResponse,
    GetModelRequest,
    ImageFormat,
    LabelPolicy,
    ModelSelector,
    Priority,
    SampleAddress,
    SampleQuery,
    StreamSamplesRequest,
    Weighted,
)
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub
from ganserve.v1.model_pb2 import ModelCard, ModelState

if TYPE_CHECKING:
    from ganserve.v1.generator_pb2_grpc import GeneratorServiceAsyncStub

TINY = ModelSelector(name="tiny")
Story = Callable[[Answers, "GeneratorServiceAsyncStub"], Awaitable[None]]
Play = Callable[[Story], None]


@pytest.fixture
def play(tmp_path: Path, make_bundle: Callable[..., Path]) -> Play:
    """Plays a story with answers of its own and a stub for them."""

    async def run(story: Story) -> None:
        repository = Repository(device="cpu", num_lanes=1, max_batch=8, max_queued_rows=10_000, max_wait_s=30.0)
        await repository.open(make_bundle(tmp_path))
        with ThreadPoolExecutor(1) as workers:
            watch = ModelWatch(repository, Health(), SERVICE_NAME)
            answers = Answers(repository, workers=workers, max_reply_bytes=2**20, check_model=watch.check)
            gate = CallGate(SERVICE_NAME, max_calls=100, stall_s=60)
            server = grpc.aio.server(interceptors=(gate,))
            server.add_generic_rpc_handlers((GeneratorService(answers).rpc_handler(),))
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                await story(answers, GeneratorServiceStub(channel))
            await server.stop(0)
        await repository.close()

    return lambda story: asyncio.run(run(story))


def generate_request(count: int = 1) -> GenerateRequest:
    return GenerateRequest(query=SampleQuery(model=TINY, address=SampleAddress(seed=1, count=count)))


def test_every_method_of_the_contract_is_routed(play: Play) -> None:
    async def story(answers: Answers, stub: GeneratorServiceAsyncStub) -> None:  # noqa: ARG001
        handler = GeneratorService(answers).rpc_handler()
        for method in generator_pb2.DESCRIPTOR.services_by_name["GeneratorService"].methods:
            routed = handler.service(_CallDetails(f"/{SERVICE_NAME}/{method.name}"))
            assert routed is not None
            assert routed.response_streaming == method.server_streaming

    play(story)


def test_scattered_indices_come_in_their_order_in_replies_and_streams(play: Play) -> None:
    order = [3, 2**64 - 1, 3, 0, 7]
    query = SampleQuery(model=TINY, address=SampleAddress(seed=1, indices=order))

    async def story(answers: Answers, stub: GeneratorServiceAsyncStub) -> None:
        answers.state = ModelState.MODEL_STATE_SERVING
        whole = (await stub.Generate(GenerateRequest(query=query))).batch
        assert (whole.count, whole.first_index, list(whole.indices)) == (5, 3, order)
        assert list(whole.class_names) == [["cat", "dog", "emu"][label] for label in whole.labels]
        parts = [reply.batch async for reply in stub.StreamSamples(StreamSamplesRequest(query=query, max_batch_size=2))]
        assert [list(part.indices) for part in parts] == [order[:2], order[2:4], order[4:]]
        assert [part.first_index for part in parts] == [3, 3, 7]
        assert b"".join(part.pixels for part in parts) == whole.pixels
        alone = SampleAddress(seed=1, first_index=2**64 - 1, count=1)
        one = (await stub.Generate(GenerateRequest(query=SampleQuery(model=TINY, address=alone)))).batch
        assert one.pixels == parts[0].pixels[len(one.pixels) :]
        assert not one.indices

    play(story)


def test_too_many_indices_for_one_reply(play: Play) -> None:
    async def story(answers: Answers, stub: GeneratorServiceAsyncStub) -> None:
        answers.state = ModelState.MODEL_STATE_SERVING
        address = SampleAddress(seed=1, indices=range(10_000))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Generate(GenerateRequest(query=SampleQuery(model=TINY, address=address)))
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "one reply cannot hold" in (caught.value.details() or "")

    play(story)


def test_a_request_says_how_urgent_it_is(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[scheduler.Priority] = []
    add = scheduler.RowQueue.add

    def watch(self: scheduler.RowQueue, job: scheduler.Job) -> None:
        seen.append(job.caller.priority)
        add(self, job)

    monkeypatch.setattr(scheduler.RowQueue, "add", watch)

    async def story(answers: Answers, stub: GeneratorServiceAsyncStub) -> None:
        answers.state = ModelState.MODEL_STATE_SERVING
        query = generate_request().query
        for value in (*Priority.values(), 99):
            await stub.Generate(GenerateRequest(query=query, priority=value))  # type: ignore[arg-type]
            streamed = StreamSamplesRequest(query=query, priority=value)  # type: ignore[arg-type]
            assert [reply.batch.count async for reply in stub.StreamSamples(streamed)] == [1]

    play(story)
    bulk, interactive = scheduler.Priority.BULK, scheduler.Priority.INTERACTIVE
    assert seen == [interactive, bulk, interactive, interactive, bulk, bulk, interactive, bulk]


@pytest.mark.parametrize("form", ImageFormat.values())
def test_whoever_asks_is_told_where_the_time_went(play: Play, form: ImageFormat.ValueType) -> None:
    request = generate_request(5)
    request.query.encoding.format = form

    async def times_of(call: grpc.aio.UnaryUnaryCall[GenerateRequest, GenerateResponse]) -> bytes | None:
        await call
        values = [value for key, value in await call.trailing_metadata() or () if key == CALL_TIMES_KEY]
        return values[0] if values and isinstance(values[0], bytes) else None

    async def story(answers: Answers, stub: GeneratorServiceAsyncStub) -> None:
        answers.state = ModelState.MODEL_STATE_SERVING
        assert await times_of(stub.Generate(request)) is None
        packed = await times_of(stub.Generate(request, metadata=((PROFILE_KEY, "1"),)))
        assert packed is not None
        times = CallTimes.FromString(packed)
        assert min(times.queue_ms, times.compute_ms, times.encode_ms) > 0

    play(story)


class _CallDetails(grpc.HandlerCallDetails):
    def __init__(self, method: str) -> None:
        self.method = method
        self.invocation_metadata = ()


def test_while_models_load_callers_are_told_to_come_back(play: Play) -> None:
    async def story(answers: Answers, stub: GeneratorServiceAsyncStub) -> None:
        with pytest.raises(grpc.aio.AioRpcError, match="still loading its models") as caught:
            await stub.Generate(generate_request())
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        answers.state = ModelState.MODEL_STATE_SERVING
        assert (await stub.Generate(generate_request())).batch.count == 1

    play(story)


def test_a_draining_server_says_so_and_still_answers(play: Play) -> None:
    async def story(answers: Answers, stub: GeneratorServiceAsyncStub) -> None:
        answers.state = ModelState.MODEL_STATE_DRAINING
        reply = await stub.GetModel(GetModelRequest(model=TINY))
        assert reply.model.state == ModelState.MODEL_STATE_DRAINING
        assert (await stub.Generate(generate_request())).batch.count == 1

    play(story)


def test_what_nobody_foresaw_is_logged_and_not_told(
    play: Play, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def break_down(*_: object, **__: object) -> None:
        raise RuntimeError("a secret of the server")

    async def story(answers: Answers, stub: GeneratorServiceAsyncStub) -> None:
        answers.state = ModelState.MODEL_STATE_SERVING
        monkeypatch.setattr(Batcher, "run", break_down)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Generate(generate_request())
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        assert caught.value.details() == "the server failed on this call; its log says why"
        assert "a secret of the server" in caplog.text

    play(story)


@pytest.mark.parametrize(
    ("max_batch_size", "expected"), [(None, [1024, 476]), (9_999, [1024, 476]), (600, [600, 600, 300])]
)
def test_stream_replies_hold_no_more_than_asked_for_and_than_fit(
    play: Play, max_batch_size: int | None, expected: list[int]
) -> None:
    async def story(answers: Answers, stub: GeneratorServiceAsyncStub) -> None:
        answers.state = ModelState.MODEL_STATE_SERVING
        request = StreamSamplesRequest(query=generate_request(1500).query, max_batch_size=max_batch_size)
        assert [reply.batch.count async for reply in stub.StreamSamples(request)] == expected

    play(story)


def test_long_lists_of_classes_and_indices_are_read_off_the_event_loop(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers: list[int] = []

    def read(query: SampleQuery, card: ModelCard) -> Source:
        readers.append(threading.get_ident())
        return open_source(query, card)

    monkeypatch.setattr("ganserve.runtime.chain.open_source", read)
    address = SampleAddress(seed=1, count=2)
    classes = ClassList(classes=[ClassReference(label=1), ClassReference(name="emu")] * 250_000)
    long_queries = (
        SampleQuery(model=TINY, address=address, labels=LabelPolicy(list=classes)),
        SampleQuery(model=TINY, address=SampleAddress(seed=1, indices=range(2**20))),
    )
    weights = [ClassWeight(class_reference=ClassReference(label=2), weight=1)] * 10_000

    async def story(answers: Answers, stub: GeneratorServiceAsyncStub) -> None:
        answers.state = ModelState.MODEL_STATE_SERVING
        await stub.Generate(generate_request())
        assert readers == [threading.get_ident()]
        reply = await stub.Generate(GenerateRequest(query=long_queries[0]))
        assert list(reply.batch.labels) == [1, 2]
        weighted = SampleQuery(model=TINY, address=address, labels=LabelPolicy(weighted=Weighted(weights=weights)))
        reply = await stub.Generate(GenerateRequest(query=weighted))
        assert list(reply.batch.labels) == [2, 2]
        with pytest.raises(grpc.aio.AioRpcError, match="one reply cannot hold 1,048,576 samples"):
            await stub.Generate(GenerateRequest(query=long_queries[1]))
        assert len(readers) == 4
        assert threading.get_ident() not in readers[1:]

    play(story)
