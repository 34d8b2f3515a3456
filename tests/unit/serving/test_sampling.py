from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ganserve.runtime.chain import Chain, Stages
from ganserve.serving.admission import Budget
from ganserve.serving.chains import ServedChain
from ganserve.serving.model import Model
from ganserve.serving.repository import Repository
from ganserve.serving.sampling import Made, make_all, make_parts
from ganserve.serving.scheduler import Caller
from ganserve.v1.generator_pb2 import SampleAddress, SampleQuery

CALLER = Caller(client="a")
Story = Callable[[Model, ServedChain], Awaitable[None]]
Play = Callable[[Story], None]


@pytest.fixture
def play(tmp_path: Path, make_bundle: Callable[..., Path]) -> Play:
    """Plays a story with a model and a chain of very many of its samples."""

    async def run(story: Story) -> None:
        repository = Repository(device="cpu", num_lanes=1, max_batch=8, max_queued_rows=1000, max_wait_s=30.0)
        model = await repository.open(make_bundle(tmp_path))
        query = SampleQuery(address=SampleAddress(seed=1, count=2**40))
        await story(model, Chain.open(query, Stages(model, None, ())))
        await repository.close()

    return lambda story: asyncio.run(run(story))


def rows_of(made: Made) -> list[bytes]:
    return [image.tobytes() for image in made.rows.columns["images"]]


def test_parts_are_the_same_rows_as_all_at_once(play: Play) -> None:
    async def story(model: Model, _: ServedChain) -> None:
        chain = Chain.open(SampleQuery(address=SampleAddress(seed=3, first_index=5, count=20)), Stages(model, None, ()))
        whole = await make_all(chain, CALLER)
        parts = [made async for made in make_parts(chain, 6, CALLER, Budget(10**6))]
        assert [made.start for made in parts] == [0, 6, 12, 18]
        assert [row for made in parts for row in rows_of(made)] == rows_of(whole)
        labels = [label for made in parts for label in made.rows.columns["labels"].tolist()]
        assert labels == whole.rows.columns["labels"].tolist()

    play(story)


def test_a_stream_holds_only_the_bytes_of_parts_that_are_not_taken_yet(play: Play) -> None:
    async def story(model: Model, chain: ServedChain) -> None:
        budget = Budget(10**9)
        most = model.limits.parts_ahead(4) * model.limits.reply_bytes(4)
        stream = make_parts(chain, 4, CALLER, budget)
        for _ in range(50):
            await anext(stream)
            assert budget.taken <= most
        await stream.aclose()
        assert budget.taken == 0

    play(story)


def test_streams_that_nobody_reads_leave_half_of_the_budget(play: Play) -> None:
    async def story(model: Model, chain: ServedChain) -> None:
        part_bytes = model.limits.reply_bytes(4)
        budget = Budget(12 * part_bytes)
        streams = [make_parts(chain, 4, CALLER, budget) for _ in range(5)]
        reading = [asyncio.create_task(anext(stream)) for stream in streams]
        await reading[0]
        await asyncio.sleep(0.05)
        assert budget.has_room(6 * part_bytes)
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        for stream in streams:
            await stream.aclose()
        assert budget.taken == 0

    play(story)


def test_a_stream_begins_one_part_at_a_time_while_others_wait_for_room(play: Play) -> None:
    async def story(model: Model, chain: ServedChain) -> None:
        part_bytes = model.limits.reply_bytes(4)
        budget = Budget(20 * part_bytes)
        budget.take(budget.bulk_limit)
        other = asyncio.create_task(budget.take_in_turn(part_bytes))
        await asyncio.sleep(0)
        stream = make_parts(chain, 4, CALLER, budget)
        reading = asyncio.create_task(anext(stream))
        await asyncio.sleep(0.01)
        budget.give_back(budget.bulk_limit)
        await asyncio.gather(other, reading)
        assert budget.taken == 2 * part_bytes
        await anext(stream)
        assert budget.taken == (1 + model.limits.parts_ahead(4)) * part_bytes
        await stream.aclose()

    play(story)


@pytest.mark.parametrize("num_cancels", [1, 2])
def test_a_stream_that_is_cancelled_gives_back_all_it_held(play: Play, num_cancels: int) -> None:
    async def story(_model: Model, chain: ServedChain) -> None:
        budget = Budget(10**6)

        async def read() -> None:
            async for _ in make_parts(chain, 4, CALLER, budget):
                await asyncio.sleep(0)

        for pause_s in (0.0, 0.001, 0.002, 0.005):
            reading = asyncio.create_task(read())
            await asyncio.sleep(pause_s)
            for _ in range(num_cancels):
                reading.cancel()
                await asyncio.sleep(0)
            with pytest.raises(asyncio.CancelledError):
                await reading
            async with asyncio.timeout(10):
                while budget.taken:  # noqa: ASYNC110 - the generator is closed by the loop, at a time of its own
                    await asyncio.sleep(0.001)

    play(story)
