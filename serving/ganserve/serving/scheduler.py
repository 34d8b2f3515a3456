"""Which rows run next: a queue that counts rows, and plans one batch at a time.

Interactive rows come first, in turns between clients; of each client, those whose deadline is earliest.

Pure: no threads, no event loop, no model. The caller passes the time in.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from ganserve.runtime.sources import Source, Span

from .row_quota import RowQuota
from .stopwatch import Stopwatch

BULK_EVERY: Final = 4
"""Of so many rows that run while bulk rows wait, at least one is bulk."""


class Priority(Enum):
    """How urgent rows are."""

    INTERACTIVE = auto()
    BULK = auto()


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Whom rows are for. It travels whole, from the service to the queue.

    Attributes:
        client: turns are taken between clients.
        priority: interactive rows run before bulk ones.
        deadline_s: monotonic time after which the rows are worth nothing, or None.
        stopwatch: where the time goes. Started with the caller.
        quota: bound on the rows that are made for it, or None.
    """

    client: str
    priority: Priority = Priority.INTERACTIVE
    deadline_s: float | None = None
    stopwatch: Stopwatch = field(default_factory=Stopwatch, compare=False)
    quota: RowQuota | None = None


@dataclass(eq=False, kw_only=True)
class Job:
    """Rows that one caller waits for together: `num_rows` rows of a source from `start` on.

    Attributes:
        due_s: monotonic time by which the caller wants them, of which the earliest come first.
        queued_s: monotonic time since which they wait.
        is_over: whether nobody waits for them any more.
        num_planned: rows that a batch holds or held, from the front, or that nobody wants any more.
    """

    source: Source
    start: int
    num_rows: int
    caller: Caller
    due_s: float
    queued_s: float = 0.0
    is_over: Callable[[], bool] = bool
    num_planned: int = field(default=0, init=False)

    @property
    def num_waiting(self) -> int:
        """Rows that no batch holds yet."""
        return self.num_rows - self.num_planned

    def is_expired(self, now_s: float) -> bool:
        """Whether the deadline has passed."""
        return self.caller.deadline_s is not None and self.caller.deadline_s <= now_s

    def take(self, max_rows: int) -> Slice:
        """The next waiting rows, at most `max_rows`."""
        start = self.num_planned
        self.num_planned = min(self.num_rows, start + max_rows)
        return Slice(job=self, start=start, stop=self.num_planned)


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Rows `start … stop - 1` of a job."""

    job: Job
    start: int
    stop: int

    @property
    def num_rows(self) -> int:
        return self.stop - self.start

    @property
    def span(self) -> Span:
        """The same rows, counted from the beginning of the job's source."""
        return Span(self.job.source, self.job.start + self.start, self.num_rows)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows that run together, and the jobs that were found to have expired, or to be over, while they were chosen."""

    slices: tuple[Slice, ...]
    expired: tuple[Job, ...] = ()

    @property
    def num_rows(self) -> int:
        return sum(part.num_rows for part in self.slices)

    def __add__(self, other: Batch) -> Batch:
        return Batch(slices=self.slices + other.slices, expired=self.expired + other.expired)


class _Line:
    """One client's jobs, and how many of their rows wait. Those of a job that is dropped are passed over."""

    def __init__(self) -> None:
        self.num_rows = 0
        self._jobs: list[tuple[float, int, Job]] = []
        self._num_added = 0
        self._last_due_s = -math.inf

    def add(self, job: Job) -> None:
        """Puts a job where its due time belongs, behind those that are due at the same time."""
        heapq.heappush(self._jobs, (job.due_s, self._num_added, job))
        self._num_added += 1
        self._last_due_s = max(self._last_due_s, job.due_s)
        self.num_rows += job.num_waiting

    def rows_due_by(self, due_s: float) -> int:
        """Rows that wait and would run before those of a new job that is due then."""
        if due_s >= self._last_due_s:
            return self.num_rows
        return sum(job.num_waiting for job_due_s, _, job in self._jobs if job_due_s <= due_s)

    def first(self) -> Job:
        """The job whose rows are next; some wait."""
        while not (job := self._jobs[0][2]).num_waiting:
            heapq.heappop(self._jobs)
        return job

    def take(self, job: Job, max_rows: int) -> Slice:
        """The next rows of a job, at most `max_rows`."""
        part = job.take(max_rows)
        self.num_rows -= part.num_rows
        return part

    def drop(self, job: Job) -> int:
        """Takes the rows of a job that still wait out, and tells how many those are."""
        num_rows = job.num_waiting
        self.num_rows -= num_rows
        job.num_planned = job.num_rows
        return num_rows


class _Turns:
    """A line of jobs for each client, and the clients in the order of their turns: all that wait at one priority."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, _Line] = OrderedDict()
        self.num_rows = 0

    def add(self, job: Job) -> None:
        """Puts a job among the client's others."""
        self._lines.setdefault(job.caller.client, _Line()).add(job)
        self.num_rows += job.num_waiting

    def remove(self, job: Job) -> None:
        """Takes the rows of a job that still wait out."""
        line = self._lines.get(job.caller.client)
        if line is not None and job.num_waiting:
            self.num_rows -= line.drop(job)
            if not line.num_rows:
                del self._lines[job.caller.client]

    def rows_before(self, client: str, num_rows: int, due_s: float) -> int:
        """Rows of the same priority that run before the last of `num_rows` new rows of a client."""
        own = self._lines[client].rows_due_by(due_s) if client in self._lines else 0
        others = (line.num_rows for name, line in self._lines.items() if name != client)
        return own + sum(min(own + num_rows, waiting) for waiting in others)

    def take(self, max_rows: int, now_s: float) -> Batch:
        """Takes at most `max_rows` rows, in turns between the clients, passing over expired jobs.

        A client whose turn ends with rows left goes to the back, so a flood of rows from one never holds up another's.
        """
        slices: list[Slice] = []
        expired: list[Job] = []
        turn_rows = max(1, max_rows // max(1, len(self._lines)))
        while max_rows and self._lines:
            # The client whose turn it is leaves the front of the queue.
            client, line = self._lines.popitem(last=False)
            num_rows = min(turn_rows, max_rows)
            # Its jobs are taken as they are due, until its share is full.
            while num_rows and line.num_rows:
                job = line.first()
                if job.is_over() or job.is_expired(now_s):
                    self.num_rows -= line.drop(job)
                    expired.append(job)
                    continue
                part = line.take(job, num_rows)
                slices.append(part)
                num_rows -= part.num_rows
                max_rows -= part.num_rows
                self.num_rows -= part.num_rows
            # With rows left it joins the queue again at the back.
            if line.num_rows:
                self._lines[client] = line
        return Batch(slices=tuple(slices), expired=tuple(expired))


class RowQueue:
    """Rows that wait: interactive ones run first, in turns between clients, and bulk has what they leave.

    Interactive rows run without bulk ones beside them, so that they are made as soon as their own batch is. But of
    every `BULK_EVERY` rows that are planned while bulk waits, one is bulk. That is counted on from batch to batch, so
    that bulk never starves, however small the batches are.
    """

    def __init__(self) -> None:
        self._by_priority = {priority: _Turns() for priority in Priority}
        self._interactive = self._by_priority[Priority.INTERACTIVE]
        self._bulk = self._by_priority[Priority.BULK]
        self._num_unshared = 0  # rows planned since bulk, which waits, had its share

    @property
    def num_rows(self) -> int:
        """Rows that wait."""
        return self._interactive.num_rows + self._bulk.num_rows

    def add(self, job: Job) -> None:
        """Has the rows of a job wait."""
        self._by_priority[job.caller.priority].add(job)

    def remove(self, job: Job) -> None:
        """Takes the rows of a job that still wait out of the queue; those in a batch run to their end."""
        self._by_priority[job.caller.priority].remove(job)

    def rows_before(self, caller: Caller, num_rows: int, due_s: float) -> int:
        """Rows that run before the last of `num_rows` new rows of a caller, its turns and those of others counted.

        Args:
            caller: whose rows they are; those that it already has here count where they are due as early.
            num_rows: how many are new.
            due_s: monotonic time by which the caller wants them.
        """
        alike = self._by_priority[caller.priority].rows_before(caller.client, num_rows, due_s)
        if caller.priority is Priority.INTERACTIVE:
            return alike + min(self._bulk.num_rows, (alike + num_rows) // (BULK_EVERY - 1))
        return alike + min(self._interactive.num_rows, (alike + num_rows) * (BULK_EVERY - 1))

    def plan(self, max_rows: int, now_s: float) -> Batch:
        """Takes at most `max_rows` rows off the queue, passing over expired jobs."""
        # Of so many rows, or of the urgent ones and bulk's share beside them.
        due = min((self._num_unshared + max_rows) // BULK_EVERY, self._bulk.num_rows)
        due = min((self._num_unshared + self._interactive.num_rows) // (BULK_EVERY - 1), due)
        urgent = self._interactive.take(max_rows - due, now_s)
        bulk = self._bulk.take(due if urgent.slices else max_rows, now_s)
        # Where bulk jobs turned out to have expired, there is room for more.
        more = self._interactive.take(max_rows - urgent.num_rows - bulk.num_rows, now_s)
        batch = urgent + bulk + more
        unshared = self._num_unshared + batch.num_rows - BULK_EVERY * bulk.num_rows
        self._num_unshared = max(0, unshared) if self._bulk.num_rows else 0
        return batch


def best_batch_size(num_waiting: int, num_idle_lanes: int, max_batch: int, cost_s: Callable[[int], float]) -> int:
    """How many rows to launch now, at least 1.

    The waiting rows are shared out over the idle lanes. Of that share and the powers of two below it, the size that
    costs least a row is taken; where runs are padded to a bucket, that avoids a large bucket for a row too many.
    """
    share = min(-(-num_waiting // num_idle_lanes), max_batch)
    sizes = [share, *(1 << k for k in reversed(range(share.bit_length())))]
    return min(sizes, key=lambda size: cost_s(size) / size)
