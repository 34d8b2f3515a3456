"""Continuous batching: rows of many requests run together, and nobody waits for a batch to fill.

An idle lane launches at once whatever waits. While all lanes are busy rows gather, and the next batch is cut the moment
a lane is free: plan (`scheduler`), execute (on a lane), settle (hand each row's outcome to its job).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from ganserve.contract.errors import DeadlineError, OverloadedError, ServerError, UnavailableError
from ganserve.contract.images import Images
from ganserve.contract.labels import Labels
from ganserve.contract.latents import Latents

from .admission import RowBudget
from .scheduler import Batch, Job, RowQueue, Slice, best_batch_size

_log = logging.getLogger(__name__)

_MIN_RETRY_S: Final = 0.05


class BatchEngine(Protocol):
    """What a batcher asks of an engine; see `Engine`."""

    @property
    def lanes(self) -> Executor: ...
    @property
    def num_lanes(self) -> int: ...
    @property
    def max_batch(self) -> int: ...
    def cost_s(self, rows: int) -> float: ...
    def run(self, latents: Latents, labels: Labels | None) -> Images: ...


@dataclass(eq=False)
class _Pending:
    """What a job still waits for."""

    future: asyncio.Future[Images]
    num_unfinished: int
    images: Images | None = None


class Batcher:
    """Runs jobs on an engine. Belongs to one event loop and is called from it alone."""

    def __init__(
        self, engine: BatchEngine, *, max_queued_rows: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._budget = RowBudget(max_queued_rows)
        self._queue = RowQueue()
        self._pending: dict[Job, _Pending] = {}
        self._num_idle_lanes = engine.num_lanes
        self._closed = False

    @property
    def num_queued_rows(self) -> int:
        """Rows that wait for a lane."""
        return self._queue.num_rows

    def check_admission(self, num_rows: int, *, client: str, deadline_s: float | None = None) -> None:
        """Whether so many rows of a client would be admitted now.

        Raises:
            OverloadedError: there is no room for them.
            DeadlineError: the deadline would pass before they could be done.
        """
        if not self._budget.has_room(num_rows):
            admitted = self._budget.num_rows
            raise OverloadedError(
                f"{admitted} rows are queued and {num_rows} more would exceed the {self._budget.max_rows} that this "
                "server queues; try again shortly, or with fewer samples",
                retry_after_s=max(_MIN_RETRY_S, self._duration_s(admitted)),
            )
        rows_ahead = self._queue.rows_before(client, num_rows)
        needed_s = self._duration_s(rows_ahead + num_rows)
        if deadline_s is not None and self._clock() + needed_s > deadline_s:
            raise DeadlineError(
                f"{num_rows} samples behind {rows_ahead} queued ones take about {needed_s:.3g} s, "
                "which is more than the deadline leaves; allow more time, or ask for fewer samples"
            )

    def admitted(self, num_rows: int, *, client: str, deadline_s: float | None = None) -> AbstractContextManager[None]:
        """Room for so many rows for as long as the body runs. Raises as `check_admission` does."""
        self.check_admission(num_rows, client=client, deadline_s=deadline_s)
        return self._budget.admitted(num_rows)

    def admitted_in_turn(self, num_rows: int) -> AbstractAsyncContextManager[None]:
        """Like `admitted`, but waits for room."""
        return self._budget.admitted_in_turn(num_rows)

    async def run(
        self, latents: Latents, labels: Labels | None, *, client: str, deadline_s: float | None = None
    ) -> Images:
        """uint8 (N, H, W, C) from latents (N, latent_dim) and, for a conditional generator, labels (N,).

        The rows have been admitted. Cancelling the call takes those that wait out of the queue.

        Args:
            latents: float32.
            labels: int64.
            client: whom the rows are for; turns are taken between clients.
            deadline_s: on the batcher's clock; None for no deadline.

        Raises:
            DeadlineError: the deadline passed before the rows were done.
            ServerError: the engine failed on these rows.
            UnavailableError: the batcher is closed.
        """
        if self._closed:
            raise UnavailableError("the server is stopping; ask another, or try again shortly")
        job = Job(latents=latents, labels=labels, client=client, deadline_s=deadline_s)
        future: asyncio.Future[Images] = asyncio.get_running_loop().create_future()
        self._pending[job] = _Pending(future, job.num_rows)
        self._queue.add(job)
        try:
            self._launch_idle_lanes()
            return await future
        finally:
            self._queue.remove(job)
            self._pending.pop(job, None)

    def close(self) -> None:
        """Launches nothing more. Runs under way still settle."""
        self._closed = True

    def _duration_s(self, num_rows: int) -> float:
        """Expected time to run so many rows on all lanes, in the largest batches."""
        row_s = self._engine.cost_s(self._engine.max_batch) / self._engine.max_batch
        return num_rows * row_s / self._engine.num_lanes

    def _launch_idle_lanes(self) -> None:
        while self._num_idle_lanes and self._queue.num_rows and not self._closed:
            num_rows = best_batch_size(
                self._queue.num_rows, self._num_idle_lanes, self._engine.max_batch, self._engine.cost_s
            )
            batch = self._queue.plan(num_rows, self._clock())
            for job in batch.expired:
                self._fail(job, DeadlineError("the deadline passed before the samples were made; allow more time"))
            if batch.slices:
                self._launch(batch)

    def _launch(self, batch: Batch) -> None:
        self._num_idle_lanes -= 1
        loop = asyncio.get_running_loop()
        execution = loop.run_in_executor(self._engine.lanes, execute, self._engine, batch)
        execution.add_done_callback(lambda done: self._settle(batch, done))

    def _settle(self, batch: Batch, execution: asyncio.Future[list[Images | None]]) -> None:
        self._num_idle_lanes += 1
        outcomes = [None] * len(batch.slices) if execution.cancelled() else execution.result()
        try:
            for part, images in zip(batch.slices, outcomes, strict=True):
                if images is None:
                    self._queue.remove(part.job)
                    self._fail(part.job, ServerError("the model could not make these samples; see the server's log"))
                else:
                    self._deliver(part, images)
        finally:
            self._launch_idle_lanes()

    def _deliver(self, part: Slice, images: Images) -> None:
        pending = self._pending.get(part.job)
        if pending is None or pending.future.done():
            return
        if part.num_rows == part.job.num_rows:
            pending.images = images
        else:
            if pending.images is None:
                pending.images = np.empty((part.job.num_rows, *images.shape[1:]), np.uint8)
            pending.images[part.start : part.stop] = images
        pending.num_unfinished -= part.num_rows
        if not pending.num_unfinished:
            pending.future.set_result(pending.images)

    def _fail(self, job: Job, error: Exception) -> None:
        pending = self._pending.get(job)
        if pending is not None and not pending.future.done():
            pending.future.set_exception(error)


def execute(engine: BatchEngine, batch: Batch) -> list[Images | None]:
    """Runs a batch on a lane: the images of each slice, or None for a slice that the engine fails on.

    If the batch fails, each slice runs by itself, so that only the one at fault has to fail.
    """
    try:
        images = _run(engine, batch.slices)
    except Exception:  # noqa: BLE001 - whatever a row provokes must not reach its batch-mates
        _log.exception("a batch of %d rows failed", batch.num_rows)
        if len(batch.slices) == 1:
            return [None]
        return [outcome for part in batch.slices for outcome in execute(engine, Batch(slices=(part,)))]
    ends = np.cumsum([part.num_rows for part in batch.slices])
    return [images[end - part.num_rows : end] for part, end in zip(batch.slices, ends, strict=True)]


def _run(engine: BatchEngine, slices: tuple[Slice, ...]) -> Images:
    latents = [part.job.latents[part.start : part.stop] for part in slices]
    labels = [part.job.labels[part.start : part.stop] for part in slices if part.job.labels is not None]
    if len(slices) == 1:
        return engine.run(latents[0], labels[0] if labels else None)
    return engine.run(np.concatenate(latents), np.concatenate(labels) if labels else None)
