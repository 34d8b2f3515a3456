"""What a lane does with a batch: gathers its rows, runs them, and hands each slice its part."""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future
from typing import NamedTuple, Protocol

from ganserve.contract.rows import Rows
from ganserve.contract.text import one_line
from ganserve.runtime.lanes import Lanes
from ganserve.runtime.sources import draw_rows

from .scheduler import Batch
from .throttled_log import ThrottledLog

_failures = ThrottledLog(logging.getLogger(__name__))


class BatchEngine(Protocol):
    """What a batcher asks of an engine; see `Engine`."""

    @property
    def lanes(self) -> Lanes: ...
    @property
    def max_batch(self) -> int: ...
    def cost_s(self, num_rows: int) -> float: ...
    def run(self, rows: Rows) -> Rows: ...


class Execution(NamedTuple):
    """What a lane made of a batch: an outcome for each slice, None where it failed, and the seconds that it took."""

    outcomes: list[Rows | None]
    took_s: float


def execution_of(execution: Future[Execution]) -> Execution | None:
    """What came of a batch that was given to a lane; None where it never ran."""
    return None if execution.cancelled() else execution.result()


def execute(engine: BatchEngine, batch: Batch) -> Execution:
    """Gathers and runs a batch on a lane. If that fails, each slice runs by itself, so that only a faulty one does."""
    start_s = time.monotonic()
    outcomes = _run(engine, batch)
    return Execution(outcomes, time.monotonic() - start_s)


def _run(engine: BatchEngine, batch: Batch) -> list[Rows | None]:
    try:
        rows = draw_rows([part.span for part in batch.slices])
        made = engine.run(rows)
        reported = batch.slices[0].job.source.reported
        made = made.with_columns({name: rows.columns[name] for name in reported})
    except Exception as error:  # noqa: BLE001 - whatever a row provokes must not reach its batch-mates
        _failures.warning(f"a batch of {batch.num_rows} rows failed: {type(error).__name__}: {one_line(error)}")
        if len(batch.slices) == 1:
            return [None]
        return [outcome for part in batch.slices for outcome in _run(engine, Batch(slices=(part,)))]
    outcomes: list[Rows | None] = []
    start = 0
    for part in batch.slices:
        outcomes.append(made[start : start + part.num_rows])
        start += part.num_rows
    return outcomes
