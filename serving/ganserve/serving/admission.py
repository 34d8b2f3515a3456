"""Bounds on what a server takes on: rows that wait or run, and bytes of replies that are promised but not yet sent."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .scheduler import Priority


class Budget:
    """Counts amounts of one thing up to a limit. Belongs to one event loop.

    A request takes its amount at once or not at all; a part of a stream waits for its turn. An amount beyond the whole
    limit is admitted alone. Bulk requests and streams get half of the limit at most, so that they leave room for those
    who cannot wait.

    Attributes:
        limit: most that may be taken.
        bulk_limit: most that may be taken once something bulk or a stream is added.
        make_room: has those give back what they hold who hold it in vain, for somebody who has waited for long.
    """

    def __init__(self, limit: int, *, make_room: Callable[[], None] = lambda: None) -> None:
        self.limit = limit
        self.make_room = make_room
        self.bulk_limit = limit // 2
        self._taken = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def taken(self) -> int:
        """What is taken and not yet given back."""
        return self._taken

    @property
    def is_awaited(self) -> bool:
        """Whether anybody waits for room."""
        return bool(self._waiting)

    def limit_of(self, priority: Priority) -> int:
        """The limit that holds for a request."""
        return self.bulk_limit if priority is Priority.BULK else self.limit

    def has_room(self, amount: int, priority: Priority = Priority.INTERACTIVE) -> bool:
        """Whether so much more may be taken at once."""
        return not self._taken or self._taken + amount <= self.limit_of(priority)

    def take(self, amount: int) -> None:
        """Takes an amount that there is room for."""
        self._taken += amount

    async def take_in_turn(self, amount: int) -> None:
        """Waits for room, first come, first served, and takes the amount; a caller that is cancelled takes nothing."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((amount, turn))
        self._admit_waiting()
        try:
            await turn
        except asyncio.CancelledError:
            # Cancelled after its turn came: what it was given goes to the next. Before it: its future is cancelled.
            if not turn.cancelled():
                self._taken -= amount
            self._admit_waiting()
            raise

    def give_back(self, amount: int) -> None:
        """Frees what was taken."""
        self._taken -= amount
        self._admit_waiting()

    @contextmanager
    def holding(self, amount: int) -> Iterator[None]:
        """Gives back what was taken when the body ends."""
        try:
            yield
        finally:
            self.give_back(amount)

    def _admit_waiting(self) -> None:
        while self._waiting:
            amount, turn = self._waiting[0]
            # Several may be cancelled before any of them runs again, so those that were are passed over here.
            if not turn.cancelled():
                if self._taken and self._taken + amount > self.bulk_limit:
                    return
                self._taken += amount
                turn.set_result(None)
            self._waiting.popleft()
