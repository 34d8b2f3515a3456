"""Who reads what of a stream, and what has been read: the arithmetic of sharding, without any samples.

The positions of an epoch that have not been used yet are cut into blocks, in order. Shards take blocks in turns: block
`j` belongs to shard ``j % num_shards``. Shards are numbered as a `DataLoader` asks its workers, first worker 0 of every
rank, then worker 1 of every rank, so that where a batch is a block, batches come in the order of positions however many
workers and ranks there are, and what has been used is one number. Where it is not, it is a few ranges more.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Span(NamedTuple):
    """Positions `start … stop - 1`."""

    start: int
    stop: int


class Place(NamedTuple):
    """A worker of a rank."""

    rank: int
    worker: int


@dataclass(frozen=True)
class Layout:
    """How many read, and how many samples a block has."""

    num_ranks: int
    num_workers: int
    block_size: int

    @property
    def num_shards(self) -> int:
        """One a worker of each rank."""
        return self.num_ranks * self.num_workers

    def shard(self, place: Place) -> int:
        """The number of a worker's shard."""
        return place.worker * self.num_ranks + place.rank

    def places(self) -> Iterator[Place]:
        """All workers, in the order of their shards."""
        for worker, rank in itertools.product(range(self.num_workers), range(self.num_ranks)):
            yield Place(rank, worker)


class Unused:
    """The positions below `length` that have not been used, in order.

    Attributes:
        used: the spans that have been.
    """

    def __init__(self, used: Iterable[Span], length: int) -> None:
        self.used = tuple(join(used))
        starts = [0, *(span.stop for span in self.used)]
        stops = [*(span.start for span in self.used), length]
        self._free = [Span(start, stop) for start, stop in zip(starts, stops, strict=True) if start < stop]
        self._before = list(itertools.accumulate((stop - start for start, stop in self._free), initial=0))

    @property
    def count(self) -> int:
        """How many there are."""
        return self._before[-1]

    def spans(self, start: int, stop: int) -> Iterator[Span]:
        """The `start`-th to the `stop - 1`-th of them."""
        place = bisect_right(self._before, start) - 1
        while start < min(stop, self.count):
            first = self._free[place].start + start - self._before[place]
            count = min(stop - start, self._free[place].stop - first)
            yield Span(first, first + count)
            start += count
            place += 1


@dataclass(frozen=True)
class Shard:
    """What one worker reads: every `num_shards`-th block of the unused positions."""

    unused: Unused
    layout: Layout
    number: int

    @classmethod
    def of_all(cls, length: int, layout: Layout, number: int) -> Shard:
        """A shard of an epoch of which nothing has been used."""
        return cls(Unused((), length), layout, number)

    @property
    def count(self) -> int:
        """How many samples that are."""
        size = self.layout.block_size
        rounds, rest = divmod(self.unused.count, size * self.layout.num_shards)
        return rounds * size + min(max(rest - self.number * size, 0), size)

    def spans(self, start: int, stop: int) -> Iterator[Span]:
        """The spans of its samples from the `start`-th to the `stop - 1`-th."""
        size = self.layout.block_size
        while start < min(stop, self.count):
            number, offset = divmod(start, size)
            begin = (number * self.layout.num_shards + self.number) * size + offset
            count = min(size - offset, stop - start)
            yield from self.unused.spans(begin, begin + count)
            start += count


def join(spans: Iterable[Span]) -> list[Span]:
    """The same positions as few spans, in order."""
    joined: list[Span] = []
    for span in sorted(span for span in spans if span[0] < span[1]):
        if joined and span[0] <= joined[-1].stop:
            joined[-1] = Span(joined[-1].start, max(joined[-1].stop, span[1]))
        else:
            joined.append(Span(*span))
    return joined


def used_by_all(used: Sequence[Span], length: int, layout: Layout, taken: Mapping[Place, int]) -> list[Span]:
    """All that has been used once each worker took so many samples of its shard, beside what was used before."""
    unused = Unused(used, length)
    whole_rounds = min(taken[place] // layout.block_size for place in layout.places())
    in_rounds = whole_rounds * layout.block_size
    together = unused.spans(0, whole_rounds * layout.num_shards * layout.block_size)
    ahead = (
        span
        for place in layout.places()
        for span in Shard(unused, layout, layout.shard(place)).spans(in_rounds, taken[place])
    )
    return join([*used, *together, *ahead])
