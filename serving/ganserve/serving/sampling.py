"""From a source of rows to what a model makes of them. The plane that every protocol shares.

Knows neither gRPC nor how images are encoded.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import nullcontext
from dataclasses import dataclass

from ganserve.contract.rows import Rows
from ganserve.runtime.sources import Source

from .admission import Budget
from .model import Model
from .scheduler import Caller
from .slow_readers import PATIENCE_S


@dataclass(frozen=True, kw_only=True)
class Made:
    """Outputs of a model for the rows of a source from `start` on, with the inputs that the source reports."""

    start: int
    rows: Rows


async def make_all(model: Model, source: Source, caller: Caller) -> Made:
    """All rows of a source at once. Raises what `RowQuota.spent`, `Batcher.admitted` and `Batcher.run` raise."""
    quota = caller.quota.spent(source.count) if caller.quota else nullcontext()
    with quota, model.batcher.admitted(source.count, caller) as admitted:
        rows = await model.batcher.run(source, 0, source.count, admitted)
    return Made(start=0, rows=rows)


async def make_parts(
    model: Model, source: Source, part_size: int, caller: Caller, reply_budget: Budget
) -> AsyncGenerator[Made, None]:
    """All rows of a source in index order, at most `part_size` at a time.

    Enough is started ahead of what is taken to keep every lane busy, and no more. Once the stream has begun, a full
    queue, a full reply budget or a quota makes it wait instead of failing it. A part holds its bytes of the reply
    budget until the next one is asked for; where the next one finds no room, those make some who hold it in vain. While
    others wait for room, one part at a time is begun.
    """
    part_size = caller.quota.part_size(part_size) if caller.quota else part_size
    model.batcher.check_stream(min(part_size, source.count), caller)
    starts = iter(range(0, source.count, part_size))
    under_way: deque[asyncio.Task[Made]] = deque()
    taken: set[int] = set()
    waiting: set[int] = set()  # for room

    async def make(start: int) -> Made:
        count = min(part_size, source.count - start)
        if caller.quota:
            await caller.quota.spend_in_turn(count)
        waiting.add(start)
        await reply_budget.take_in_turn(model.limits.reply_bytes(count))
        waiting.remove(start)
        taken.add(start)
        rows = await model.batcher.run_in_turn(source, start, count, caller)
        return Made(start=start, rows=rows)

    def give_back(start: int) -> None:
        taken.remove(start)
        reply_budget.give_back(model.limits.reply_bytes(min(part_size, source.count - start)))

    def begin() -> None:
        most = 1 if reply_budget.is_awaited else model.limits.parts_ahead(part_size)
        num_parts = max(0, most - len(under_way))
        under_way.extend(asyncio.create_task(make(start)) for start in itertools.islice(starts, num_parts))

    try:
        begin()
        for start in range(0, source.count, part_size):
            made = await _with_room(under_way[0], waiting, start, reply_budget)
            yield made
            under_way.popleft()
            give_back(made.start)
            begin()
    finally:
        for task in under_way:
            task.cancel()
        # Before anything is awaited: a caller may be cancelled twice.
        for start in tuple(taken):
            give_back(start)
        await asyncio.gather(*under_way, return_exceptions=True)


async def _with_room(part: asyncio.Task[Made], waiting: set[int], start: int, reply_budget: Budget) -> Made:
    """What the next part of a stream comes to. Where it still waits for room, those make some who hold it in vain."""
    while not part.done():
        await asyncio.wait((part,), timeout=PATIENCE_S)
        if start in waiting:
            reply_budget.make_room()
    return await part
