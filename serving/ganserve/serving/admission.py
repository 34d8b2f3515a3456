"""Bounds on what a server takes on: rows that wait or run, and bytes of replies that are promised but not yet sent.

Both belong to one event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from ganserve.contract.errors import OverloadedError


class RowBudget:
    """Counts admitted rows. A request is admitted at once or not at all; a part of a stream waits for its turn."""

    def __init__(self, max_rows: int) -> None:
        self.max_rows = max_rows
        self._num_rows = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def num_rows(self) -> int:
        """Rows that are admitted and not yet done with."""
        return self._num_rows

    def has_room(self, num_rows: int) -> bool:
        """Whether so many more rows may be admitted."""
        return self._num_rows + num_rows <= self.max_rows

    @contextmanager
    def admitted(self, num_rows: int) -> Iterator[None]:
        """Counts rows for as long as the body runs."""
        self._num_rows += num_rows
        try:
            yield
        finally:
            self._num_rows -= num_rows
            self._admit_waiting()

    @asynccontextmanager
    async def admitted_in_turn(self, num_rows: int) -> AsyncIterator[None]:
        """Waits for room, first come, first served, then counts rows for as long as the body runs.

        Those who wait get half of the budget at most, so that streams leave room for requests that do not.
        """
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (num_rows, turn)
        self._waiting.append(entry)
        self._admit_waiting()
        try:
            await turn
        except asyncio.CancelledError:
            if entry in self._waiting:
                self._waiting.remove(entry)
            else:
                self._num_rows -= num_rows
            self._admit_waiting()
            raise
        try:
            yield
        finally:
            self._num_rows -= num_rows
            self._admit_waiting()

    def _admit_waiting(self) -> None:
        while self._waiting:
            num_rows, turn = self._waiting[0]
            if self._num_rows and self._num_rows + num_rows > self.max_rows // 2:
                return
            self._waiting.popleft()
            self._num_rows += num_rows
            turn.set_result(None)


class ReplyBudget:
    """Counts promised bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._taken_bytes = 0

    def take(self, num_bytes: int) -> None:
        """Sets bytes aside. A single reply larger than the whole budget is let through when nothing else is promised.

        Raises:
            OverloadedError: the budget is used up.
        """
        if self._taken_bytes and self._taken_bytes + num_bytes > self._max_bytes:
            raise OverloadedError(
                f"replies of {self._taken_bytes} bytes are under way, and {num_bytes} more would exceed the "
                f"{self._max_bytes} that this server allows; try again shortly",
                retry_after_s=1.0,
            )
        self._taken_bytes += num_bytes

    def give_back(self, num_bytes: int) -> None:
        """Frees bytes that `take` set aside."""
        self._taken_bytes -= num_bytes
