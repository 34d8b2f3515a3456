"""Callers who leave, while their rows wait and while they run: those who stay get the same bytes."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from ganserve.client import AsyncClient, Client
from ganserve.v1.generator_pb2 import GenerateRequest, ModelSelector, SampleAddress, SampleQuery, StreamSamplesRequest
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub

from ..servers import StartServer
from .conftest import Note, Size

if TYPE_CHECKING:
    from ganserve.v1.generator_pb2_grpc import GeneratorServiceAsyncStub

NUM_STAYING = 8
NUM_LEAVING = 50
MOST_QUEUED = 256


def test_cancels_leave_others_alone(slow_models: Path, start_server: StartServer, size: Size, note: Note) -> None:
    num_cancels = size(1_000, 10_000)
    flags = ("--max-batch", "8", "--max-queued-rows", str(MOST_QUEUED), "--max-wait-s", "600")
    with start_server(slow_models, *flags) as server:
        with Client(server.address, model="digits", timeout_s=60) as client:
            expected = [client.generate(2, seed=seed).numpy().tobytes() for seed in range(NUM_STAYING)]
        num_right, num_wrong = asyncio.run(call_beside_cancels(server.address, num_cancels, expected))
        with Client(server.address, model="digits", timeout_s=60, retry_for_s=0) as client:
            assert len(client.generate(MOST_QUEUED, seed=1)) == MOST_QUEUED  # there is room for all that may wait
        assert server.stop() == 0
    note(
        fault=f"{num_cancels:,} cancels, of calls and streams that wait or run",
        load=f"{NUM_STAYING} callers who stay, batches of 8 rows",
        expected="who stays gets the same bytes, and all room is given back",
        seen=f"{num_right:,} answers bit-identical, {num_wrong} not; all {MOST_QUEUED} rows may wait again",
    )
    assert num_right
    assert not num_wrong


async def call_beside_cancels(address: str, num_cancels: int, expected: list[bytes]) -> tuple[int, int]:
    """Has callers leave beside others who stay; returns how many answers the latter got right and wrong."""
    rng = random.Random(1)  # noqa: S311 (keeps no secret)
    over = asyncio.Event()
    answers = [0, 0]
    left = iter(range(num_cancels))

    async def stay(client: AsyncClient, seed: int) -> None:
        while not over.is_set():
            made = (await client.generate(2, seed=seed)).numpy().tobytes()
            answers[made != expected[seed]] += 1

    async def leave(stub: GeneratorServiceAsyncStub) -> None:
        for number in left:
            query = SampleQuery(model=ModelSelector(name="digits"), address=SampleAddress(seed=number, count=3))
            call: Any
            if number % 2:
                call = stub.Generate(GenerateRequest(query=query))
            else:
                query.address.count = 2**40
                call = stub.StreamSamples(StreamSamplesRequest(query=query, max_batch_size=2))
            await asyncio.sleep(rng.uniform(0, 0.05))
            call.cancel()

    async with (
        AsyncClient(address, model="digits", timeout_s=60) as client,
        grpc.aio.insecure_channel(address) as channel,
        asyncio.TaskGroup() as staying,
    ):
        for seed in range(NUM_STAYING):
            staying.create_task(stay(client, seed))
        async with asyncio.TaskGroup() as leaving:
            for _ in range(NUM_LEAVING):
                leaving.create_task(leave(GeneratorServiceStub(channel)))
        over.set()
    return answers[0], answers[1]
