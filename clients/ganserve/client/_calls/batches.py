"""Batches of an exact size, of which some are asked for ahead of the reader."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from ganserve.client._queries.checks import whole_number
from ganserve.client._queries.parts import num_samples, part
from ganserve.client._samples.model_info import ModelInfo
from ganserve.client._samples.samples import Samples
from ganserve.v1.generator_pb2 import SampleQuery

from .submissions import LostInForkError, Submissions

_MOST_AHEAD: Final = 256


@dataclass(frozen=True)
class BatchPlan:
    """A query as batches, in index order.

    Attributes:
        query: the whole.
        size: samples a batch; the last one may have fewer.
        prefetch: batches that are asked for ahead of the reader.
    """

    query: SampleQuery
    size: int
    prefetch: int

    @classmethod
    def check(cls, query: SampleQuery, size: int, prefetch: int) -> BatchPlan:
        """Raises InvalidRequestError for a size or a number that cannot be."""
        return cls(
            query,
            whole_number(size, "size", low=1, high=2**32 - 1, field="query.address.count"),
            whole_number(prefetch, "prefetch", low=0, high=_MOST_AHEAD, field=""),
        )

    def parts(self, digest: str) -> Iterator[SampleQuery]:
        """The query of each batch. Only the model `digest` may answer."""
        total = num_samples(self.query)
        for start in range(0, total, self.size):
            yield part(self.query, start, min(self.size, total - start), digest)


def read_ahead(
    plan: BatchPlan,
    find_model: Callable[[], ModelInfo],
    ask: Callable[[SampleQuery], Samples],
    end: Callable[[], object] = lambda: None,
) -> Generator[Samples]:
    """The batches of a plan, each asked for on a thread of its own, and never more than `prefetch` and one at once.

    Args:
        plan: which.
        find_model: tells the one model that makes them all.
        ask: answers the query of a batch.
        end: ends what is under way when the reader stops.
    """
    parts = plan.parts(find_model().digest)
    threads = Submissions(max(1, plan.prefetch))
    ahead: deque[_Batch] = deque()

    def reach(num_ahead: int) -> None:
        for query in itertools.islice(parts, max(0, num_ahead - len(ahead))):
            ahead.append(_Batch(query, threads, ask))

    try:
        reach(max(1, plan.prefetch))
        while ahead:
            samples = ahead[0].take()
            ahead.popleft()
            reach(plan.prefetch)
            yield samples
            del samples
            reach(1)
    finally:
        threads.close()
        end()


async def read_ahead_async(
    plan: BatchPlan, find_model: Callable[[], Awaitable[ModelInfo]], ask: Callable[[SampleQuery], Awaitable[Samples]]
) -> AsyncGenerator[Samples]:
    """As `read_ahead`, each batch being a task."""
    parts = plan.parts((await find_model()).digest)
    ahead: deque[asyncio.Future[Samples]] = deque()

    def reach(num_ahead: int) -> None:
        for query in itertools.islice(parts, max(0, num_ahead - len(ahead))):
            ahead.append(asyncio.ensure_future(ask(query)))

    try:
        reach(max(1, plan.prefetch))
        while ahead:
            samples = await ahead[0]
            ahead.popleft()
            reach(plan.prefetch)
            yield samples
            del samples
            reach(1)
    finally:
        for task in ahead:
            task.cancel()
        await asyncio.gather(*ahead, return_exceptions=True)


class _Batch:
    """A batch that is asked for."""

    def __init__(self, query: SampleQuery, threads: Submissions, ask: Callable[[SampleQuery], Samples]) -> None:
        self._query = query
        self._threads = threads
        self._ask = ask
        self._future = self._submit()

    def take(self) -> Samples:
        """Waits for it. In a process that was forked since it was asked for, asks again."""
        while True:
            try:
                return self._future.result()
            except LostInForkError:
                self._future = self._submit()

    def _submit(self) -> Future[Samples]:
        return self._threads.submit(lambda: self._ask(self._query))
