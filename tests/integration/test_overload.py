"""More work than a server queues: some callers are told to come back, and who is answered is answered right."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import numpy as np
import pytest

from ganserve.client import AsyncClient, Client, OverloadedError
from ganserve.v1.generator_pb2 import GenerateRequest, ModelSelector, SampleAddress, SampleQuery, StreamSamplesRequest
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub

from .conftest import ServerProcess, StartServer


def test_a_full_queue_refuses_with_a_time_to_retry_after(models: Path, start_server: StartServer) -> None:
    async def crowd(address: str) -> list[np.ndarray | BaseException]:
        async with AsyncClient(address, model="digits") as client:
            await client.get_model()
            calls = (client.generate(60, seed=seed) for seed in range(100))
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
        return [outcome if isinstance(outcome, BaseException) else outcome.numpy() for outcome in outcomes]

    with start_server(models, "--max-queued-rows", "64") as server:
        outcomes = asyncio.run(crowd(server.address))
        refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert refused
        assert all(isinstance(error, OverloadedError) and error.retry_after_s for error in refused)
        with Client(server.address, model="digits") as client:
            for seed, outcome in enumerate(outcomes):
                if not isinstance(outcome, BaseException):
                    np.testing.assert_array_equal(outcome, client.generate(60, seed=seed).numpy())


def test_streams_wait_their_turn_in_a_full_queue(models: Path, start_server: StartServer) -> None:
    async def pull(address: str, seed: int) -> int:
        async with AsyncClient(address, model="digits") as client:
            return sum([len(samples) async for samples in client.stream(20_000, seed=seed)])

    async def crowd(address: str) -> list[int]:
        return await asyncio.gather(*(pull(address, seed) for seed in range(2)))

    # Two parts of one stream and the first of the other fit, so the other's second has to wait.
    with start_server(models, "--max-queued-rows", "3100") as server:
        assert asyncio.run(crowd(server.address)) == [20_000] * 2


@pytest.mark.parametrize("leave", ["cancel", "deadline"])
def test_callers_that_leave_free_the_server(server: ServerProcess, leave: str) -> None:
    query = SampleQuery(model=ModelSelector(name="digits"), address=SampleAddress(seed=1, count=2**40))
    with grpc.insecure_channel(server.address) as channel:
        stub = GeneratorServiceStub(channel)
        calls = [
            stub.StreamSamples(StreamSamplesRequest(query=query), timeout=0.5 if leave == "deadline" else 60)
            for _ in range(8)
        ]
        for call in calls:
            next(iter(call))
        if leave == "cancel":
            for call in calls:
                call.cancel()
        for call in calls:
            with pytest.raises(grpc.RpcError):
                list(call)
        query.address.count = 1
        assert stub.Generate(GenerateRequest(query=query), timeout=10).batch.count == 1
