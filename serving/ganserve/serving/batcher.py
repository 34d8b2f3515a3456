"""Continuous batching: rows of many requests run together, and nobody waits for a batch to fill.

An idle lane launches at once what waits. While all lanes are busy rows gather, and the next batch is cut the moment a
lane is free: plan (`scheduler`), gather and execute (on a lane), settle (hand each row's outcome to its job). What a
row holds and what is made of it is not looked at here.

A thread that wakes up takes as long as a small model's run. So rows that take less than `_SHORT_S` also gather while a
run as short is under way, and a job that is alone and tiny runs on the event loop itself. Where many tiny jobs come at
once, they are given a moment to arrive (`anticipation`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from ganserve.contract.errors import DeadlineError, OverloadedError, ServerError, UnavailableError
from ganserve.contract.rows import Rows
from ganserve.contract.text import counted
from ganserve.runtime.sources import Source

from .admission import Budget
from .anticipation import Anticipation
from .cuts import why_cut
from .dispatcher import Dispatcher
from .execution import BatchEngine, Execution, execute, execution_of
from .metrics import Metrics, ModelMetrics
from .pace import Pace
from .scheduler import Batch, Caller, Job, Priority, RowQueue, Slice, best_batch_size
from .statistics import Statistics

_MIN_RETRY_S: Final = 0.05
_SHORT_S: Final = 1e-3
_TINY_S: Final = 0.3e-3
_GATHERED_S: Final = 4e-3
_HOPEFUL: Final = 0.8  # the part of the time left that may be planned for: estimates are no promises


@dataclass(eq=False)
class _Pending:
    """What a job still waits for, and the parts of it that are made, each with its first row.

    Attributes:
        num_launched: rows that a lane has, or had.
    """

    future: asyncio.Future[Rows]
    num_unfinished: int
    num_launched: int = 0
    parts: list[tuple[int, Rows]] = field(default_factory=list)


class Batcher:
    """Runs jobs on one model's engine. Belongs to one event loop and is called from it alone.

    Attributes:
        statistics: count the runs; whoever answers requests counts those there.
    """

    def __init__(
        self,
        engine: BatchEngine,
        dispatcher: Dispatcher,
        *,
        max_queued_rows: int,
        max_wait_s: float,
        clock: Callable[[], float] = time.monotonic,
        metrics: ModelMetrics | None = None,
    ) -> None:
        """Launches nothing yet.

        Args:
            engine: runs the rows.
            dispatcher: shares the engine's lanes among the models of its device.
            max_queued_rows: most rows that wait or run.
            max_wait_s: most seconds that rows wait whose caller gives no deadline.
            clock: monotonic seconds.
            metrics: what is counted of the model.
        """
        self._engine = engine
        self._dispatcher = dispatcher
        self._clock = clock
        self._metrics = metrics or Metrics().of_model("", 0)
        self._budget = Budget(max_queued_rows)
        self._queue = RowQueue()
        self._pending: dict[Job, _Pending] = {}
        self._max_wait_s = max_wait_s
        self._num_running = 0
        self._row_s = engine.cost_s(engine.max_batch) / engine.max_batch
        self._pace = Pace(self._row_s / engine.lanes.num_lanes)
        self._anticipation = Anticipation(dispatcher.launch)
        self._closed = False
        self.statistics = Statistics()
        self._ended = asyncio.Event()
        dispatcher.add(self)

    @property
    def num_queued_rows(self) -> int:
        """Rows that wait for a lane."""
        return self._queue.num_rows

    @property
    def num_running_rows(self) -> int:
        """Rows that a lane has."""
        return self._num_running

    @property
    def max_queued_rows(self) -> int:
        """Most rows that wait or run."""
        return self._budget.limit

    @property
    def wants_lane(self) -> bool:
        """Whether rows wait that a further lane should run."""
        is_short = max(self._queue.num_rows, self._num_running) * self._row_s < _SHORT_S
        is_held_back = self._anticipation.expects_more or (self._num_running and is_short)
        return bool(self._queue.num_rows) and not is_held_back

    @property
    def queued_s(self) -> float:
        """Expected time that a single lane takes for the rows that wait, in the largest batches."""
        return self._queue.num_rows * self._row_s

    def check_admission(self, num_rows: int, caller: Caller) -> None:
        """Whether so many rows of a caller would be admitted now.

        Raises:
            OverloadedError: there is no room for them, or too much waits before them.
            DeadlineError: the deadline would pass before they could be done, even if nothing else waited.
        """
        self._check_room(num_rows, caller.priority)
        self._check_time(num_rows, caller)

    def check_stream(self, num_rows: int, caller: Caller) -> None:
        """Whether a stream may begin whose first part has so many rows. Raises as `check_admission` does.

        It need not find room among bulk rows, since its parts wait for that.
        """
        self._check_room(num_rows, Priority.INTERACTIVE)
        self._check_time(num_rows, caller)

    def _check_room(self, num_rows: int, priority: Priority) -> None:
        if not self._budget.has_room(num_rows, priority):
            self._metrics.refused_rows.add()
            admitted, limit = self._budget.taken, self._budget.limit_of(priority)
            raise OverloadedError(
                f"{counted(num_rows, 'row')} beside {admitted:,} that wait or run would exceed the {limit:,} that "
                "this server queues"
                f"{' for bulk requests' if priority is Priority.BULK else ''}; "
                "try again shortly, or with fewer samples",
                retry_after_s=max(_MIN_RETRY_S, admitted * self._pace.row_s),
            )

    def _check_time(self, num_rows: int, caller: Caller) -> None:
        left_s = self._max_wait_s if caller.deadline_s is None else caller.deadline_s - self._clock()
        alone_s = self._dispatcher.expected_s(self, num_rows * self._row_s)
        if alone_s > left_s:
            raise DeadlineError(
                f"{counted(num_rows, 'sample')} would need about {alone_s:.3g} s, and there are "
                f"{max(0.0, left_s):.3g} s; allow more time, or ask for fewer samples"
            )
        rows_ahead = self._queue.rows_before(caller, num_rows, self._due_s(caller)) + self._num_running
        needed_s = (rows_ahead + num_rows) * self._pace.row_s
        if rows_ahead and needed_s > left_s * _HOPEFUL:
            self._metrics.refused_time.add()
            raise OverloadedError(
                f"{counted(num_rows, 'sample')}, with {rows_ahead:,} ahead, would need about {needed_s:.3g} s, and "
                f"there are {max(0.0, left_s):.3g} s; try again shortly, allow more time, or ask for fewer samples",
                retry_after_s=max(_MIN_RETRY_S, needed_s - left_s * _HOPEFUL),
            )

    @contextmanager
    def admitted(self, num_rows: int, caller: Caller) -> Iterator[Caller]:
        """Room for so many rows for as long as the body runs, and the caller with a deadline, for who waits for it.

        Raises as `check_admission` does.
        """
        self.check_admission(num_rows, caller)
        self._budget.take(num_rows)
        with self._budget.holding(num_rows):
            yield caller if caller.deadline_s is not None else replace(caller, deadline_s=self._due_s(caller))

    async def run_in_turn(self, source: Source, start: int, count: int, caller: Caller) -> Rows:
        """Like `run`, for a part of a stream, which has not been admitted: waits for room first.

        Parts come in the order in which they are asked for: by the deadlines of their streams, the earliest of these
        would keep the others of its caller waiting until it ends.
        """
        await self._budget.take_in_turn(count)
        with self._budget.holding(count):
            return await self._run(source, start, count, caller, self._clock() + self._max_wait_s)

    async def run(self, source: Source, start: int, count: int, caller: Caller) -> Rows:
        """What the model makes of rows `start … start + count - 1` of a source, with the inputs that it reports.

        The rows have been admitted. Cancelling the call takes those that wait out of the queue.

        Raises:
            DeadlineError: the deadline passed before the rows were done.
            ServerError: the engine failed on these rows.
            UnavailableError: the batcher is closed.
        """
        return await self._run(source, start, count, caller, self._due_s(caller))

    async def _run(self, source: Source, start: int, count: int, caller: Caller, due_s: float) -> Rows:
        if self._closed:
            raise UnavailableError("the server is stopping; ask another, or try again shortly")
        future: asyncio.Future[Rows] = asyncio.get_running_loop().create_future()
        job = Job(
            source=source,
            start=start,
            num_rows=count,
            caller=caller,
            due_s=due_s,
            queued_s=self._clock(),
            is_over=future.done,
        )
        self._pending[job] = _Pending(future, count)
        self._queue.add(job)
        is_few_and_tiny = self._row_s < _TINY_S and self.queued_s < _GATHERED_S
        self._anticipation.join(len(self._pending), is_worth_it=is_few_and_tiny)
        try:
            self._dispatcher.launch()
            return await future
        finally:
            self._queue.remove(job)
            self._count_dropped(job, self._pending.pop(job))

    def close(self) -> None:
        """Launches nothing more. Runs under way still settle."""
        self._closed = True
        self._dispatcher.remove(self)
        if not self._num_running:
            self._ended.set()

    async def ended(self) -> None:
        """Waits until it is closed and nothing runs any more."""
        await self._ended.wait()

    def launch(self, num_lanes: int) -> float:
        """Plans a batch and has a lane run it; returns its expected seconds, 0 where all that waited had expired.

        Args:
            num_lanes: idle lanes that the waiting rows may be divided over.
        """
        num_lanes = min(num_lanes, max(1, int(self.queued_s / _SHORT_S)))
        num_waiting, max_batch = self._queue.num_rows, self._engine.max_batch
        num_planned = best_batch_size(num_waiting, num_lanes, max_batch, self._engine.cost_s)
        now_s = self._clock()
        batch = self._queue.plan(num_planned, now_s)
        for job in batch.expired:
            self._fail(job, DeadlineError("the deadline passed before the samples were made; allow more time"))
        num_rows = batch.num_rows
        if not num_rows:
            return 0.0
        for part in batch.slices:
            self._count_launched(part, now_s)
        cut = why_cut(
            num_rows,
            self._queue.num_rows,
            num_planned=num_planned,
            num_waiting=num_waiting,
            num_lanes=num_lanes,
            max_batch=max_batch,
        )
        self._metrics.batches[cut].add()
        self._metrics.batch_rows.observe(num_rows)
        self._begin(batch)
        self._num_running += num_rows
        return self._engine.cost_s(num_rows)

    def _count_launched(self, part: Slice, now_s: float) -> None:
        """Rows of a job are about to run. That somebody still wants them is checked here once more, and counted."""
        job, pending = part.job, self._pending.get(part.job)
        if pending is None or pending.future.done():
            self._metrics.late_cancelled_rows.add(part.num_rows)
            return
        if job.is_expired(now_s):
            self._metrics.late_expired_rows.add(part.num_rows)
        pending.num_launched += part.num_rows
        if not part.start:
            self._metrics.queue_wait_s[job.caller.priority].observe(now_s - job.queued_s)
            job.caller.stopwatch.mark_launched(now_s)

    def _count_dropped(self, job: Job, pending: _Pending) -> None:
        """A job is over. Those of its rows that never ran are counted."""
        num_dropped = job.num_rows - pending.num_launched
        if not num_dropped:
            return
        if job.is_expired(self._clock()):
            self._metrics.expired_rows.add(num_dropped)
        elif pending.future.cancelled():
            self._metrics.cancelled_rows.add(num_dropped)
        else:
            self._metrics.failed_rows.add(num_dropped)

    def _begin(self, batch: Batch) -> None:
        loop, lanes = asyncio.get_running_loop(), self._engine.lanes
        if lanes.any_thread and len(self._pending) == 1 and self._engine.cost_s(batch.num_rows) < _TINY_S:
            loop.call_soon(self._settle, batch, execute(self._engine, batch))
            return
        execution = lanes.submit(execute, self._engine, batch)
        execution.add_done_callback(lambda done: loop.call_soon_threadsafe(self._settle, batch, execution_of(done)))

    def _due_s(self, caller: Caller) -> float:
        return self._clock() + self._max_wait_s if caller.deadline_s is None else caller.deadline_s

    def _settle(self, batch: Batch, execution: Execution | None) -> None:
        """Hands out what a batch came to, None where it was cancelled."""
        expected_s = self._engine.cost_s(batch.num_rows)
        done = execution or Execution([None] * len(batch.slices), expected_s)
        self._metrics.compute_s.observe(done.took_s)
        num_made = 0
        try:
            for part, made in zip(batch.slices, done.outcomes, strict=True):
                if made is None:
                    self._metrics.failed_rows.add(part.num_rows)
                    self._queue.remove(part.job)
                    self._fail(part.job, ServerError("the model could not make these samples; see the server's log"))
                else:
                    self._deliver(part, made)
                    num_made += part.num_rows
            if num_made:
                self.statistics.add_batch(num_made, done.took_s)
        finally:
            self._num_running -= batch.num_rows
            if self._closed and not self._num_running:
                self._ended.set()
            self._pace.settle(batch.num_rows, self._clock(), rows_wait=bool(self._queue.num_rows))
            self._dispatcher.release(self, expected_s, done.took_s)

    def _deliver(self, part: Slice, made: Rows) -> None:
        pending = self._pending.get(part.job)
        if pending is None or pending.future.done():
            self._metrics.unclaimed_rows.add(part.num_rows)
            return
        pending.parts.append((part.start, made))
        pending.num_unfinished -= part.num_rows
        if not pending.num_unfinished:
            parts = sorted(pending.parts, key=lambda entry: entry[0])
            pending.future.set_result(Rows.concatenate([rows for _, rows in parts]))

    def _fail(self, job: Job, error: Exception) -> None:
        pending = self._pending.get(job)
        if pending is not None and not pending.future.done():
            pending.future.set_exception(error)
