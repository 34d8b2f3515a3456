"""What has become of one model's requests and batches since it was loaded, whatever the protocol."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .stopwatch import Stopwatch


@dataclass
class Total:
    """How often something was done, and the seconds that it took."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Counts one more."""
        self.count += 1
        self.seconds += seconds


@dataclass
class Tally:
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

    @contextmanager
    def request(self, stopwatch: Stopwatch) -> Iterator[None]:
        """Counts a request, which ends with the body."""
        try:
            yield
        except BaseException:
            self.failed.add(stopwatch.elapsed_s())
            raise
        stopwatch.mark_made()
        self.waited.add(stopwatch.queue_s)
        self.ran.add(stopwatch.compute_s)
        self.answered.add(stopwatch.queue_s + stopwatch.compute_s)

    def add_batch(self, num_rows: int, seconds: float) -> None:
        """Counts a run."""
        self.batches.setdefault(num_rows, Total()).add(seconds)
        self.last_batch_s = time.time()
