"""More work than a server queues: some callers are told to come back, and who is answered is answered right."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest

from ganserve.client import AsyncClient, Client, OverloadedError, RetryEvent
from ganserve.contract.grpc_keys import STATUS_DETAILS_KEY
from ganserve.v1.generator_pb2 import GenerateRequest, ModelSelector, SampleAddress, SampleQuery, StreamSamplesRequest
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub

if TYPE_CHECKING:
    from ganserve.v1.generator_pb2_grpc import GeneratorServiceAsyncStub

from ..servers import StartServer
from .rooms import ENDLESS, wait_for_room


def test_a_full_queue_refuses_with_a_time_to_retry_after(models: Path, start_server: StartServer) -> None:
    async def crowd(address: str) -> list[np.ndarray | BaseException]:
        async with AsyncClient(address, model="digits", retry_for_s=0) as client:
            await client.get_model()
            calls = (client.generate(60, seed=seed) for seed in range(100))
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
        return [outcome if isinstance(outcome, BaseException) else outcome.numpy() for outcome in outcomes]

    with start_server(models, "--max-queued-rows", "64", "--lanes", "1", "--max-batch", "1") as server:
        outcomes = asyncio.run(crowd(server.address))
        refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert refused
        assert all(isinstance(error, OverloadedError) and error.retry_after_s for error in refused)
        with Client(server.address, model="digits") as client:
            for seed, outcome in enumerate(outcomes):
                if not isinstance(outcome, BaseException):
                    np.testing.assert_array_equal(outcome, client.generate(60, seed=seed).numpy())


def test_a_crowd_that_asks_again_is_answered(models: Path, start_server: StartServer) -> None:
    num_callers = 40
    events: list[RetryEvent] = []

    async def crowd(address: str) -> int:
        async with AsyncClient(address, model="digits", timeout_s=60, on_retry=events.append) as client:
            return sum(map(len, await asyncio.gather(*(client.generate(60, seed=seed) for seed in range(num_callers)))))

    with start_server(models, "--max-queued-rows", "64", "--lanes", "1", "--max-batch", "1") as server:
        assert asyncio.run(crowd(server.address)) == 60 * num_callers
    assert events
    assert all(event.pause_s >= (event.error.retry_after_s or 0.0) for event in events)


def test_a_flood_ends_as_answers_and_refusals_alone(models: Path, start_server: StartServer) -> None:
    query = SampleQuery(model=ModelSelector(name="digits"), address=SampleAddress(seed=1, count=1))
    options = [("grpc.use_local_subchannel_pool", 1)]

    async def flood(address: str) -> list[Exception | None]:
        async with AsyncExitStack() as stack:
            channels = [await stack.enter_async_context(grpc.aio.insecure_channel(address, options)) for _ in range(4)]
            stubs: list[GeneratorServiceAsyncStub] = [GeneratorServiceStub(channel) for channel in channels]
            calls = (stub.Generate(GenerateRequest(query=query), timeout=60) for stub in stubs * 1_000)
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            for stub in stubs:  # all is calm again
                assert (await stub.Generate(GenerateRequest(query=query), timeout=60)).batch.count == 1
        return [outcome for outcome in outcomes if isinstance(outcome, Exception)]

    with start_server(models) as server:
        for error in asyncio.run(flood(server.address)):
            assert isinstance(error, grpc.aio.AioRpcError)
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert any(key == STATUS_DETAILS_KEY for key, _ in error.trailing_metadata())


def test_streams_wait_their_turn_in_a_full_queue(models: Path, start_server: StartServer) -> None:
    async def pull(address: str, seed: int) -> int:
        async with AsyncClient(address, model="digits") as client:
            return sum([len(samples) async for samples in client.stream(5_000, seed=seed)])

    async def crowd(address: str) -> list[int]:
        return await asyncio.gather(*(pull(address, seed) for seed in range(3)))

    with start_server(models, "--max-queued-rows", "1500") as server:
        assert asyncio.run(crowd(server.address)) == [5_000] * 3


def test_a_stream_may_be_longer_than_the_queue(models: Path, start_server: StartServer) -> None:
    with start_server(models, "--max-queued-rows", "8") as server, Client(server.address, model="digits") as client:
        streamed = np.concatenate([samples.numpy() for samples in client.stream(50, seed=1)])
    assert len(streamed) == 50


@pytest.mark.parametrize("leave", ["cancel", "deadline"])
def test_callers_that_leave_give_back_what_they_held(models: Path, start_server: StartServer, leave: str) -> None:
    request = StreamSamplesRequest(query=ENDLESS)
    # A part weighs 64 KiB, so streams hold half of the replies, and three calls need nearly all of them.
    flags = ("--max-reply-mib", "1", "--lanes", "2")
    with start_server(models, *flags) as server, grpc.insecure_channel(server.address) as channel:
        stub = GeneratorServiceStub(channel)
        for _ in range(3):
            calls = [stub.StreamSamples(request, timeout=1.0 if leave == "deadline" else 60) for _ in range(8)]
            for call in calls:
                assert next(iter(call)).batch.count > 0
            if leave == "cancel":
                for call in calls:
                    call.cancel()
            for call in calls:
                with pytest.raises(grpc.RpcError):
                    list(call)
            wait_for_room(stub)


def test_more_calls_than_allowed_are_told_to_come_back(models: Path, start_server: StartServer) -> None:
    with start_server(models, "--max-calls", "3") as server, grpc.insecure_channel(server.address) as channel:
        stub = GeneratorServiceStub(channel)
        calls = [stub.StreamSamples(StreamSamplesRequest(query=ENDLESS), timeout=60) for _ in range(3)]
        for call in calls:
            next(iter(call))
        with Client(server.address, model="digits", retry_for_s=0) as client:
            with pytest.raises(OverloadedError, match="no more calls at once than 3") as caught:
                client.generate(1)
            assert caught.value.retry_after_s == 1.0
            for call in calls:
                call.cancel()
            wait_for_room(stub)
            assert len(client.generate(1)) == 1
