"""Where the time of one call goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from ganserve.v1.generator_pb2 import CallTimes


class Stopwatch:
    """Marks the moments at which a call passes from one phase to the next. Started by its arrival.

    Its clock is the one that batches are planned by.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._arrived_s = clock()
        self._launched_s: float | None = None
        self._made_s = self._arrived_s
        self._encoded_s = self._arrived_s

    def mark_launched(self, now_s: float) -> None:
        """Rows of the call begin to run. The first time counts."""
        if self._launched_s is None:
            self._launched_s = now_s

    def mark_made(self) -> None:
        """All of its rows are made."""
        self._made_s = self._clock()

    def mark_encoded(self) -> None:
        """Its reply is encoded."""
        self._encoded_s = self._clock()

    def elapsed_s(self) -> float:
        """Seconds since the call arrived."""
        return self._clock() - self._arrived_s

    @property
    def queue_s(self) -> float:
        """Seconds until the first of its rows ran."""
        return self._began_s - self._arrived_s

    @property
    def compute_s(self) -> float:
        """Seconds from then on, until the last of them was made."""
        return self._made_s - self._began_s

    @property
    def _began_s(self) -> float:
        return self._made_s if self._launched_s is None else self._launched_s

    def phases(self) -> Iterator[tuple[str, float, float]]:
        """The phases that have ended: name, and when they began and ended by this clock."""
        if self._launched_s is not None:
            yield "queue", self._arrived_s, self._launched_s
            if self._made_s > self._launched_s:
                yield "compute", self._launched_s, self._made_s
        if self._encoded_s > self._made_s:
            yield "encode", self._made_s, self._encoded_s

    def times(self) -> CallTimes:
        """What passed between the marks."""
        return CallTimes(
            queue_ms=self.queue_s * 1e3,
            compute_ms=self.compute_s * 1e3,
            encode_ms=(self._encoded_s - self._made_s) * 1e3,
        )
