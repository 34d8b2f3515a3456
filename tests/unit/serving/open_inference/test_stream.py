"""ModelStreamInfer: many requests in one call."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import grpc
import numpy as np
import pytest

from ganserve.contract.latents import sample_latents
from ganserve.contract.rows import Rows
from ganserve.runtime.sources import Source
from ganserve.serving import scheduler
from ganserve.serving.admission import Budget
from ganserve.serving.batcher import Batcher
from ganserve.serving.open_inference.inference_pb2 import ModelInferRequest, ModelStreamInferResponse
from ganserve.v1.generator_pb2 import GenerateRequest, ModelSelector, SampleAddress, SampleQuery

from .conftest import Play, Stage
from .test_infer import outputs_of, request_of, typed_latents


async def infer_all(stage: Stage, requests: Iterable[ModelInferRequest]) -> list[ModelStreamInferResponse]:
    return [reply async for reply in stage.inference.ModelStreamInfer(iter(requests))]


def is_final(reply: ModelStreamInferResponse) -> bool:
    return reply.infer_response.parameters["triton_final_response"].bool_param


def test_replies_come_in_the_order_of_the_requests_and_are_those_of_single_calls(play: Play) -> None:
    requests = [request_of({"seed": seed, "count": 1 + seed % 7}, id=str(seed)) for seed in range(100)]

    async def story(stage: Stage) -> None:
        replies = await infer_all(stage, requests)
        assert [reply.infer_response.id for reply in replies] == [request.id for request in requests]
        assert all(is_final(reply) for reply in replies)
        for request, reply in zip(requests[::17], replies[::17], strict=True):
            single = await stage.inference.ModelInfer(request)
            assert reply.infer_response.raw_output_contents == single.raw_output_contents

    play(story)


def test_an_error_ends_its_request_alone(play: Play) -> None:
    requests = [request_of({"seed": 1}, id="a"), request_of({"sead": 1}, id="b"), request_of({"seed": 2}, id="c")]

    async def story(stage: Stage) -> None:
        good, bad, last = await infer_all(stage, requests)
        assert bad.error_message.startswith("there is no parameter 'sead'; this server knows seed")
        assert (bad.infer_response.id, is_final(bad)) == ("b", True)
        assert not bad.infer_response.outputs
        assert (good.error_message, last.error_message) == ("", "")
        assert (good.infer_response.id, last.infer_response.id) == ("a", "c")

    play(story)


def test_samples_that_do_not_fit_one_reply_come_in_several(play: Play) -> None:
    long = request_of({"seed": 7, "index": 5, "count": 9_000}, id="long", outputs=[{"name": "images"}])

    async def story(stage: Stage) -> None:
        replies = await infer_all(stage, [request_of({"seed": 1}), long, request_of({"seed": 2})])
        assert [reply.error_message for reply in replies] == [""] * len(replies)
        parts = replies[1:-1]
        assert [reply.infer_response.id for reply in parts] == ["long"] * len(parts)
        assert [is_final(reply) for reply in parts] == [False] * (len(parts) - 1) + [True]
        images = [outputs_of(reply.infer_response)["images"] for reply in parts]
        starts = np.cumsum([5, *(len(some) for some in images[:-1])])
        assert [reply.infer_response.parameters["index"].int64_param for reply in parts] == starts.tolist()
        address = SampleAddress(seed=7, first_index=5, count=9_000)
        query = SampleQuery(model=ModelSelector(name="tiny"), address=address)
        own = b"".join(
            [reply.batch.pixels async for reply in stage.generator.StreamSamples(GenerateRequest(query=query))]
        )
        assert np.concatenate(images).tobytes() == own

    play(story)


def test_what_is_made_behind_a_long_answer_takes_none_of_its_room(play: Play) -> None:
    requests = [request_of({"count": 9_000}, id="long"), *[request_of({"count": 330}, id="short")] * 30]

    async def story(stage: Stage) -> None:
        stage.answers._budget = Budget(2**20)  # all of the short ones fit it, but leave none to streams
        replies = await infer_all(stage, requests)
        assert [reply.error_message for reply in replies] == [""] * len(replies)
        assert [reply.infer_response.id for reply in replies[-31:]] == ["long", *["short"] * 30]

    play(story)


def all_images(replies: Iterable[ModelStreamInferResponse]) -> bytes:
    return b"".join(reply.infer_response.raw_output_contents[0] for reply in replies)


def test_many_latents_come_in_several_replies_too(play: Play) -> None:
    latents = sample_latents(3, 0, 6_000, 7)
    request = request_of(model="plain", inputs=[typed_latents(latents)])

    by_address = request_of({"seed": 3, "count": 6_000}, model="plain")

    async def story(stage: Stage) -> None:
        replies = await infer_all(stage, [request])
        assert len(replies) > 1
        assert all_images(replies) == all_images(await infer_all(stage, [by_address]))

    play(story)


def test_requests_of_one_stream_are_under_way_at_once_but_not_all(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    num_running: list[int] = [0]
    run, all_there = Batcher.run, asyncio.Event()

    async def wait_for_others(self: Batcher, source: Source, start: int, count: int, caller: scheduler.Caller) -> Rows:
        num_running.append(num_running[-1] + 1)
        if num_running[-1] == 32:
            all_there.set()
        await all_there.wait()
        made = await run(self, source, start, count, caller)
        num_running.append(num_running[-1] - 1)
        return made

    monkeypatch.setattr(Batcher, "run", wait_for_others)

    async def story(stage: Stage) -> None:
        replies = await infer_all(stage, [request_of({"seed": seed}, id=str(seed)) for seed in range(100)])
        assert [reply.infer_response.id for reply in replies] == [str(seed) for seed in range(100)]
        assert max(num_running) == 32

    play(story)


def test_who_waits_for_each_reply_gets_it(play: Play) -> None:
    async def story(stage: Stage) -> None:
        call = stage.inference.ModelStreamInfer()
        for seed in range(5):
            await call.write(request_of({"seed": seed}, id=str(seed)))
            assert (await call.read()).infer_response.id == str(seed)
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK

    play(story)


def test_a_stream_without_requests_ends_well(play: Play) -> None:
    async def story(stage: Stage) -> None:
        assert await infer_all(stage, []) == []

    play(story)


def test_a_reader_who_leaves_leaves_nothing_behind(play: Play) -> None:
    long = request_of({"seed": 7, "count": 100_000})

    async def story(stage: Stage) -> None:
        before = asyncio.all_tasks()
        for requests in ([long], [long, *[request_of({"seed": 1})] * 100], [request_of({"seed": 1})] * 100):
            call = stage.inference.ModelStreamInfer(iter(requests))
            assert (await call.read()).error_message == ""
            call.cancel()
        while len(asyncio.all_tasks()) > len(before):  # noqa: ASYNC110 - gRPC ends them at a time of its own
            await asyncio.sleep(0.01)
        budgets = [stage.answers._budget, *(model.batcher._budget for model in stage.repository)]
        assert [budget.taken for budget in budgets] == [0] * len(budgets)
        assert stage.gate.num_calls == 0

    play(story)


def test_what_is_no_request_ends_the_stream_once_those_before_it_are_answered(play: Play) -> None:
    async def story(stage: Stage) -> None:
        call: Any = stage.channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        replies = call(iter([request_of({"seed": 1}).SerializeToString(), b"\xff"]))
        assert ModelStreamInferResponse.FromString(await replies.read()).error_message == ""
        with pytest.raises(grpc.aio.AioRpcError, match="the request is no message that") as caught:
            await replies.read()
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT

    play(story)


def test_a_stream_that_is_kept_open_does_not_hold_up_the_stop(play: Play) -> None:
    async def story(stage: Stage) -> None:
        call = stage.inference.ModelStreamInfer()
        await call.write(request_of({"seed": 1}))
        assert (await call.read()).error_message == ""
        stage.gate.close()
        with pytest.raises(grpc.aio.AioRpcError, match="the server is stopping") as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

    play(story)


def test_what_nobody_foresaw_is_logged_and_not_told(
    play: Play, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def break_down(*_: object, **__: object) -> None:
        raise RuntimeError("a secret of the server")

    async def story(stage: Stage) -> None:
        monkeypatch.setattr(Batcher, "run", break_down)
        (reply,) = await infer_all(stage, [request_of({"seed": 1})])
        assert reply.error_message == "the server failed on this call; its log says why"
        assert "a secret of the server" in caplog.text

    play(story)


def test_a_request_says_how_urgent_it_is_and_until_when(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[scheduler.Caller] = []
    add = scheduler.RowQueue.add

    def watch(self: scheduler.RowQueue, job: scheduler.Job) -> None:
        seen.append(job.caller)
        add(self, job)

    monkeypatch.setattr(scheduler.RowQueue, "add", watch)

    async def story(stage: Stage) -> None:
        for level in (0, 1, 2):
            await stage.inference.ModelInfer(request_of({"priority": level}))
            await infer_all(stage, [request_of({"priority": level})])
        await infer_all(stage, [request_of({"count": 9_000})])
        interactive, bulk = scheduler.Priority.INTERACTIVE, scheduler.Priority.BULK
        assert [caller.priority for caller in seen[:6]] == [interactive] * 4 + [bulk] * 2
        assert {caller.priority for caller in seen[6:]} == {bulk}
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stage.inference.ModelInfer(request_of({"timeout": 1}))
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    play(story)
