"""Batches that the workers of a `DataLoader` fetch, for as long as somebody takes them."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from typing import Any

from torch.utils.data import DataLoader, Sampler

from ganserve.client._source import SampleSource
from ganserve.contract.errors import RequestError

from ._dataset import SyntheticDataset
from ._recipe import MAX_LENGTH


class WorkerBatches:
    """A `DataLoader` over a `SyntheticDataset`, whose workers live for as long as it is referred to."""

    def __init__(self, source: SampleSource, *, size: int, num_workers: int, prefetch: int, seed: int) -> None:
        """Starts no worker yet.

        Args:
            source: of the samples.
            size: samples a batch.
            num_workers: processes; with 0, this process fetches the batches.
            prefetch: batches ahead, of each worker.
            seed: of the samples.

        Raises:
            RequestError: the source does not answer.
        """
        self._places = _Places(size)
        with_workers: dict[str, Any] = {"prefetch_factor": prefetch, "persistent_workers": True} if num_workers else {}
        self._loader: DataLoader[Any] = DataLoader(
            SyntheticDataset(source, MAX_LENGTH, seed=seed),
            batch_sampler=self._places,
            num_workers=num_workers,
            **with_workers,
        )

    def take(self) -> Generator[int]:
        """Tells how many samples have come, a batch at a time. When the reader stops, what is under way is awaited.

        Raises:
            RequestError: the source does not answer.
        """
        self._places.are_wanted = True
        arrivals = iter(self._loader)
        try:
            for batch in arrivals:
                yield len(batch[0] if isinstance(batch, list) else batch)
        except GeneratorExit:
            self._places.are_wanted = False
            for _ in arrivals:
                pass
            raise
        except RequestError as error:
            raise _without_traceback(error) from None


def _without_traceback(error: RequestError) -> RequestError:
    """The error as it was raised, before a `DataLoader` put its worker's traceback in front of its text."""
    *traceback, last_line = str(error).splitlines()
    return type(error)(last_line.partition(": ")[2]) if traceback else error


class _Places(Sampler[list[int]]):
    """Places of one batch after the other, from 0 on and never the same twice, while they are wanted."""

    def __init__(self, size: int) -> None:
        self.are_wanted = True
        self._size = size
        self._starts = itertools.count(0, size)

    def __iter__(self) -> Iterator[list[int]]:
        while self.are_wanted:
            start = next(self._starts)
            yield list(range(start, start + self._size))
