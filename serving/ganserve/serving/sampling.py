"""From a query to what its models make of it. The plane that every protocol shares.

Knows neither gRPC nor how images are encoded.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import TypeAlias

from ganserve.contract.rows import Rows
from ganserve.runtime.sources import Span

from .admission import Budget
from .chains import ServedChain, limits_of, rows_by_model
from .model import Model
from .scheduler import Caller
from .slow_readers import PATIENCE_S

Run: TypeAlias = Callable[[Model, Span], Awaitable[Rows]]


@dataclass(frozen=True, kw_only=True)
class Made:
    """What the models made of the rows of a query from `start` on; see `Chain.steps`."""

    start: int
    rows: Rows


async def make_all(chain: ServedChain, caller: Caller) -> Made:
    """All samples at once. Raises what `RowQuota.spent`, `Batcher.admitted` and `Batcher.run` raise.

    All models admit their rows before the first of them runs.
    """
    rows = rows_by_model(chain)
    quota = caller.quota.spent(sum(rows.values())) if caller.quota else nullcontext()
    with quota, ExitStack() as stack:
        admitted = {
            model: stack.enter_context(model.batcher.admitted(num_rows, caller)) for model, num_rows in rows.items()
        }

        def run(model: Model, span: Span) -> Awaitable[Rows]:
            return model.batcher.run(*span, admitted[model])

        return Made(start=0, rows=await _made(chain.steps(0, chain.source.count), run))


async def make_parts(
    chain: ServedChain, part_size: int, caller: Caller, reply_budget: Budget
) -> AsyncGenerator[Made, None]:
    """All samples in index order, at most `part_size` at a time.

    Enough is started ahead of what is taken to keep every lane busy, and no more. Once the stream has begun, a full
    queue, a full reply budget or a quota makes it wait instead of failing it. A part holds its bytes of the reply
    budget until the next one is asked for; where the next one finds no room, those make some who hold it in vain. While
    others wait for room, one part at a time is begun.
    """
    part_size = caller.quota.part_size(part_size) if caller.quota else part_size
    limits = limits_of(chain.stages, chain.candidates)
    total, rows_per_sample = chain.source.count, sum(num_rows for _, num_rows in chain.loads)
    for model, num_rows in chain.loads:
        model.batcher.check_stream(min(part_size, total) * num_rows, caller)
    starts = iter(range(0, total, part_size))
    under_way: deque[asyncio.Task[Made]] = deque()
    taken: set[int] = set()
    waiting: set[int] = set()  # for room

    def run(model: Model, span: Span) -> Awaitable[Rows]:
        return model.batcher.run_in_turn(*span, caller)

    async def make(start: int) -> Made:
        count = min(part_size, total - start)
        if caller.quota:
            await caller.quota.spend_in_turn(count * rows_per_sample)
        waiting.add(start)
        await reply_budget.take_in_turn(limits.reply_bytes(count))
        waiting.remove(start)
        taken.add(start)
        return Made(start=start, rows=await _made(chain.steps(start, count), run))

    def give_back(start: int) -> None:
        taken.remove(start)
        reply_budget.give_back(limits.reply_bytes(min(part_size, total - start)))

    def begin() -> None:
        most = 1 if reply_budget.is_awaited else limits.parts_ahead(part_size)
        num_parts = max(0, most - len(under_way))
        under_way.extend(asyncio.create_task(make(start)) for start in itertools.islice(starts, num_parts))

    try:
        begin()
        for start in range(0, total, part_size):
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


async def _made(steps: Generator[tuple[Model, Span], Rows, Rows], run: Run) -> Rows:
    """What the last of several steps comes to, each of which takes what came of the one before."""
    model, span = next(steps)
    while True:
        rows = await run(model, span)
        try:
            model, span = steps.send(rows)
        except StopIteration as end:
            made: Rows = end.value
            return made


async def _with_room(part: asyncio.Task[Made], waiting: set[int], start: int, reply_budget: Budget) -> Made:
    """What the next part of a stream comes to. Where it still waits for room, those make some who hold it in vain."""
    while not part.done():
        await asyncio.wait((part,), timeout=PATIENCE_S)
        if start in waiting:
            reply_budget.make_room()
    return await part
