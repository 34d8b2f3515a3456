"""How many rows a token may have made."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ganserve.contract.errors import OverloadedError
from ganserve.contract.text import counted

from .tallies import Count


class RowQuota:
    """So many rows a period, of which those of one period can be saved up. Belongs to one event loop.

    More than a period's rows are granted where none of it is used, and held against those that come next, so that a
    large request is late and never impossible.
    """

    def __init__(
        self,
        holder: str,
        num_rows: int,
        period_s: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        refusals: Count | None = None,
    ) -> None:
        """
        Args:
            holder: whose it is, for messages.
            num_rows: rows a period, at least 1.
            period_s: seconds of a period.
            clock: monotonic seconds.
            refusals: counts the requests that are refused.
        """
        self._refusals = refusals or Count()
        self._holder = holder
        self._num_rows = num_rows
        self._period_s = period_s
        self._clock = clock
        self._left = float(num_rows)
        self._counted_s = clock()
        self._turn = asyncio.Lock()

    @contextmanager
    def spent(self, num_rows: int) -> Iterator[None]:
        """Takes the rows of a request; gives them back where the body raises.

        Raises:
            OverloadedError: they are more than is left.
        """
        wait_s = self._wait_s(num_rows)
        if wait_s > 0:
            self._refusals.add()
            unit = "second" if self._period_s == 1 else "minute"
            raise OverloadedError(
                f"the token {self._holder!r} has had its {counted(self._num_rows, 'sample')} a {unit}; "
                f"{num_rows:,} more can be made in {wait_s:.2g} s",
                retry_after_s=wait_s,
            )
        self._left -= num_rows
        try:
            yield
        except BaseException:
            self._left += num_rows
            raise

    async def spend_in_turn(self, num_rows: int) -> None:
        """Takes the rows of a part of a stream as soon as there are so many, the parts in the order of their calls."""
        async with self._turn:
            while (wait_s := self._wait_s(num_rows)) > 0:  # noqa: ASYNC110 (time alone brings more)
                await asyncio.sleep(wait_s)
            self._left -= num_rows

    def part_size(self, num_rows: int) -> int:
        """Rows of each part of a stream, of at most so many, that come about once a second or more often."""
        return max(1, min(num_rows, int(self._num_rows / self._period_s)))

    def _wait_s(self, num_rows: int) -> float:
        """Seconds until so many rows can be taken."""
        now_s = self._clock()
        rows_per_s = self._num_rows / self._period_s
        self._left = min(self._num_rows, self._left + (now_s - self._counted_s) * rows_per_s)
        self._counted_s = now_s
        return (min(num_rows, self._num_rows) - self._left) / rows_per_s
