"""What has become of one model's requests and batches since it was loaded, whatever the protocol.

For protocols whose clients ask for it; what operators watch is in `metrics.py`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import TracebackType

from .stopwatch import Stopwatch


@dataclass(slots=True)
class Total:
    """How often something was done, and the seconds that it took."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Counts one more."""
        self.count += 1
        self.seconds += seconds


@dataclass(slots=True)
class Statistics:
    """Belongs to one event loop. Of streams it counts the batches alone.

    Attributes:
        answered: requests from their arrival until they were answered.
        failed: requests that were refused or failed, or whose callers left.
        waited: those that were answered, until the first of their rows ran.
        ran: the same from then on, until the last of them was made.
        batches: runs by number of rows.
        last_batch_s: Unix time of the last run, or None.
    """

    answered: Total = field(default_factory=Total)
    failed: Total = field(default_factory=Total)
    waited: Total = field(default_factory=Total)
    ran: Total = field(default_factory=Total)
    batches: dict[int, Total] = field(default_factory=dict)
    last_batch_s: float | None = None

    def add_batch(self, num_rows: int, seconds: float) -> None:
        """Counts a run."""
        self.batches.setdefault(num_rows, Total()).add(seconds)
        self.last_batch_s = time.time()


class RequestStatistics:
    """Counts a request by how the body ends, and marks when its rows are made."""

    __slots__ = ("_statistics", "_stopwatch")

    def __init__(self, statistics: Statistics, stopwatch: Stopwatch) -> None:
        self._statistics = statistics
        self._stopwatch = stopwatch

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        statistics, stopwatch = self._statistics, self._stopwatch
        if error is not None:
            statistics.failed.add(stopwatch.elapsed_s())
            return
        stopwatch.mark_made()
        statistics.waited.add(stopwatch.queue_s)
        statistics.ran.add(stopwatch.compute_s)
        statistics.answered.add(stopwatch.queue_s + stopwatch.compute_s)
