"""Which rows run next: a queue that counts rows, is fair between clients, and plans one batch at a time.

Pure: no threads, no event loop, no model. The caller passes the time in.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from .runners import Labels, Latents


@dataclass(eq=False, kw_only=True)
class Job:
    """Rows that one caller waits for together.

    Attributes:
        latents: float32 (N, latent_dim).
        labels: int64 (N,), or None for an unconditional generator.
        client: whom the rows are for; turns are taken between clients.
        deadline_s: monotonic time after which the rows are worth nothing, or None.
    """

    latents: Latents
    labels: Labels | None
    client: str
    deadline_s: float | None = None
    num_planned: int = field(default=0, init=False)

    @property
    def num_rows(self) -> int:
        return len(self.latents)

    @property
    def num_waiting(self) -> int:
        """Rows that no batch holds yet."""
        return self.num_rows - self.num_planned


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Rows `start … stop - 1` of a job."""

    job: Job
    start: int
    stop: int

    @property
    def num_rows(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows that run together."""

    slices: tuple[Slice, ...]

    @property
    def num_rows(self) -> int:
        return sum(part.num_rows for part in self.slices)


class RowQueue:
    """Jobs in order of arrival for each client, and the clients in the order of their turns."""

    def __init__(self) -> None:
        self._jobs_by_client: OrderedDict[str, deque[Job]] = OrderedDict()
        self._num_rows = 0

    @property
    def num_rows(self) -> int:
        """Rows that wait."""
        return self._num_rows

    def add(self, job: Job) -> None:
        """Puts a job behind the client's others."""
        self._jobs_by_client.setdefault(job.client, deque()).append(job)
        self._num_rows += job.num_waiting

    def remove(self, job: Job) -> None:
        """Takes the rows of a job that still wait out of the queue; those in a batch run to their end."""
        jobs = self._jobs_by_client.get(job.client, deque())
        if job in jobs:
            jobs.remove(job)
            self._num_rows -= job.num_waiting
            if not jobs:
                del self._jobs_by_client[job.client]

    def expired(self, now_s: float) -> list[Job]:
        """Jobs whose deadline has passed."""
        return [job for job in self._jobs() if job.deadline_s is not None and job.deadline_s <= now_s]

    def rows_before(self, client: str, num_rows: int) -> int:
        """Rows that run before the last of `num_rows` new rows of a client, its turns and those of others counted."""
        own = sum(job.num_waiting for job in self._jobs_by_client.get(client, ()))
        others = (jobs for name, jobs in self._jobs_by_client.items() if name != client)
        return own + sum(min(own + num_rows, sum(job.num_waiting for job in jobs)) for jobs in others)

    def plan(self, max_rows: int) -> Batch:
        """Takes at most `max_rows` rows off the queue, in turns between the clients.

        A client whose turn ends with rows left goes to the back, so a flood of rows from one never holds up another's.
        """
        slices: list[Slice] = []
        turn_rows = max(1, max_rows // max(1, len(self._jobs_by_client)))
        rows_left = min(max_rows, self._num_rows)
        while rows_left:
            client, jobs = self._jobs_by_client.popitem(last=False)
            for part in _take(jobs, min(turn_rows, rows_left)):
                slices.append(part)
                rows_left -= part.num_rows
                self._num_rows -= part.num_rows
            if jobs:
                self._jobs_by_client[client] = jobs
        return Batch(slices=tuple(slices))

    def _jobs(self) -> Iterator[Job]:
        for jobs in self._jobs_by_client.values():
            yield from jobs


def best_batch_size(num_waiting: int, num_idle_lanes: int, max_batch: int, cost_s: Callable[[int], float]) -> int:
    """How many rows to launch now, at least 1.

    The waiting rows are shared out over the idle lanes. Of that share and the powers of two below it, the size that
    costs least a row is taken; where runs are padded to a bucket, that avoids a large bucket for a row too many.
    """
    share = min(-(-num_waiting // num_idle_lanes), max_batch)
    sizes = [share, *(1 << k for k in reversed(range(share.bit_length())))]
    return min(sizes, key=lambda size: cost_s(size) / size)


def _take(jobs: deque[Job], max_rows: int) -> Iterator[Slice]:
    """Slices off the front of a client's jobs, until `max_rows` rows or the jobs are used up."""
    while jobs and max_rows:
        job = jobs[0]
        start = job.num_planned
        stop = min(job.num_rows, start + max_rows)
        job.num_planned = stop
        max_rows -= stop - start
        if stop == job.num_rows:
            jobs.popleft()
        yield Slice(job=job, start=start, stop=stop)
