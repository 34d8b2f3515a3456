"""Whether to wait a moment for jobs that are likely to come together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

_ARRIVAL_S: Final = 1e-3  # without another job, after which nobody waits for more
_MOST: Final = 0.9  # of a crowd: not to wait for each straggler


class Anticipation:
    """Which jobs are waited for. Belongs to one event loop.

    Callers who wait for each answer before they ask again come back together, once a batch is done. To give them a
    moment for that is what anticipatory schedulers of disks do (Iyer and Druschel, SOSP 2001). So many are expected as
    were under way at once, for as long as about as many keep coming; who is alone never waits.

    Attributes:
        expects_more: whether others are likely to follow the last job at once.
    """

    def __init__(self, end: Callable[[], None]) -> None:
        """`end` is called when those who were waited for have not come."""
        self.expects_more = False
        self._end = end
        self._crowd = 0.0
        self._num_jobs = 0
        self._has_grown = False
        self._timer: asyncio.TimerHandle | None = None

    def join(self, num_jobs: int, *, is_worth_it: bool) -> None:
        """A job came, with which so many are under way."""
        self._crowd = max(self._crowd, num_jobs)
        self._num_jobs = num_jobs
        self._has_grown = True
        self.expects_more = is_worth_it and num_jobs < int(self._crowd * _MOST)
        if self.expects_more and self._timer is None:
            self._wait()

    def _wait(self) -> None:
        self._has_grown = False
        self._timer = asyncio.get_running_loop().call_later(_ARRIVAL_S, self._look)

    def _look(self) -> None:
        self._timer = None
        if self.expects_more and self._has_grown:
            self._wait()
        elif self.expects_more:
            has_scattered = self._num_jobs < self._crowd / 2
            self._crowd -= (self._crowd - self._num_jobs) / (2 if has_scattered else 16)
            self.expects_more = False
            self._end()
