"""From a source of rows to images, through a model's batcher. The plane that every protocol shares.

Knows neither gRPC nor how images are encoded.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

from ganserve.contract.images import Images
from ganserve.contract.labels import Labels

from .repository import Model
from .sources import Source

_BATCHES_AHEAD: Final = 2  # of every lane


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Whom samples are made for.

    Attributes:
        client: turns are taken between clients.
        deadline_s: monotonic time, or None.
    """

    client: str
    deadline_s: float | None


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """Images uint8 (N, H, W, C) of consecutive indices, with their labels int64 (N,) where there are any."""

    first_index: int
    images: Images
    labels: Labels | None


class Sampler:
    """Makes the samples of sources. `workers` derive the latents, off the event loop and only of admitted rows."""

    def __init__(self, workers: Executor) -> None:
        self._workers = workers

    async def sample(self, model: Model, source: Source, caller: Caller) -> Sampled:
        """All samples of a source at once. Raises what `Batcher.admitted` and `Batcher.run` raise."""
        count = source.count
        with model.batcher.admitted(count, client=caller.client, deadline_s=caller.deadline_s):
            return await self._make(model, source, 0, count, caller)

    async def stream(
        self, model: Model, source: Source, max_count: int, caller: Caller
    ) -> AsyncGenerator[Sampled, None]:
        """All samples of a source in index order, at most `max_count` at a time.

        Enough is started ahead of what is taken to keep every lane busy, and no more. Once the stream has begun, a full
        queue makes it wait instead of failing it.
        """
        first = min(max_count, source.count)
        model.batcher.check_admission(first, client=caller.client, deadline_s=caller.deadline_s)
        parts = ((offset, min(max_count, source.count - offset)) for offset in range(0, source.count, max_count))
        under_way: deque[asyncio.Task[Sampled]] = deque()

        def start(num_parts: int) -> None:
            for offset, count in itertools.islice(parts, num_parts):
                under_way.append(asyncio.create_task(self._make_in_turn(model, source, offset, count, caller)))

        try:
            start(stream_depth(model, max_count))
            while under_way:
                yield await under_way[0]
                under_way.popleft()
                start(1)
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _make_in_turn(self, model: Model, source: Source, offset: int, count: int, caller: Caller) -> Sampled:
        async with model.batcher.admitted_in_turn(count):
            return await self._make(model, source, offset, count, caller)

    async def _make(self, model: Model, source: Source, offset: int, count: int, caller: Caller) -> Sampled:
        rows = await asyncio.get_running_loop().run_in_executor(self._workers, source.rows, offset, count)
        images = await model.batcher.run(*rows, client=caller.client, deadline_s=caller.deadline_s)
        return Sampled(first_index=source.first_index + offset, images=images, labels=rows.labels)


def stream_depth(model: Model, max_count: int) -> int:
    """How many parts of `max_count` samples a stream has under way, so that no lane runs dry while one is sent."""
    engine = model.loaded.engine
    return 1 + -(-_BATCHES_AHEAD * engine.num_lanes * engine.max_batch // max_count)
