"""Batches of an exact size, of which some are asked for ahead of the reader."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from ganserve.client._queries.checks import whole_number
from ganserve.client._queries.parts import num_samples, part
from ganserve.client._samples.model_info import ModelInfo
from ganserve.client._samples.samples import Samples
from ganserve.client._transport.errors import ShortTraceback
from ganserve.v1.generator_pb2 import SampleQuery

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


class BatchCall(Protocol):
    """A call for a batch that has begun."""

    def samples(self) -> Samples:
        """Waits for them."""
        ...

    def cancel(self) -> None:
        """Takes the call back."""
        ...


def read_ahead(
    plan: BatchPlan, find_model: Callable[[SampleQuery], ModelInfo], begin: Callable[[SampleQuery], BatchCall]
) -> Generator[Samples]:
    """The batches of a plan, of which never more than `prefetch` and one are under way.

    Args:
        plan: which.
        find_model: tells the one model that makes them all, and settles the others that the query names.
        begin: begins the call for the query of a batch.
    """
    parts = plan.parts(find_model(plan.query).digest)
    ahead: deque[BatchCall] = deque()

    def reach(num_ahead: int) -> None:
        ahead.extend(map(begin, itertools.islice(parts, max(0, num_ahead - len(ahead)))))

    try:
        reach(max(1, plan.prefetch))
        while ahead:
            with ShortTraceback():
                samples = ahead[0].samples()
            ahead.popleft()
            reach(plan.prefetch)
            yield samples
            del samples
            reach(1)
    finally:
        for call in ahead:
            call.cancel()


async def read_ahead_async(
    plan: BatchPlan,
    find_model: Callable[[SampleQuery], Awaitable[ModelInfo]],
    ask: Callable[[SampleQuery], Awaitable[Samples]],
) -> AsyncGenerator[Samples]:
    """As `read_ahead`, each batch being a task."""
    parts = plan.parts((await find_model(plan.query)).digest)
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
