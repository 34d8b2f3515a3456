"""The engine: one model on the lanes of a device, with batch buckets and what each of them costs.

Knows nothing of gRPC, requests or queues.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from ganserve.contract.bundle import blank_rows
from ganserve.contract.rows import Rows
from ganserve.v1.bundle_pb2 import Signature

from .lanes import Lanes
from .runners import open_runner

_TIMED_RUNS: Final = 3
_LONG_S: Final = 20e-3
_LEAST_GAIN: Final = 0.03


def bucket_sizes(max_batch: int) -> tuple[int, ...]:
    """Powers of two below `max_batch`, and `max_batch` itself."""
    return (*(2**k for k in range(max_batch.bit_length()) if 2**k < max_batch), max_batch)


class Engine:
    """A loaded, warmed-up model.

    Attributes:
        lanes: the threads that `run` belongs on.
        max_batch: most rows that one run takes: as many as were allowed, or on a CPU fewer where more are no faster.
        costs_s: seconds a run, by bucket size, ascending.
        num_failures: runs that failed since the last that did not.
    """

    def __init__(self, model: bytes | Path, signature: Signature, *, lanes: Lanes, max_batch: int) -> None:
        """Loads, warms up and times the model; on a CPU, beside the lanes.

        Args:
            model: an ONNX file, or where one lies that nobody else can change.
            signature: of its inputs and outputs.
            lanes: of the device.
            max_batch: most rows of one run.

        Raises:
            ArtifactError: ONNX Runtime cannot load the model.
            ConfigError: the device cannot be used.
        """
        self.lanes = lanes
        self.num_failures = 0
        self._signature = signature
        buckets = bucket_sizes(max_batch)
        self._runner = lanes.aside(open_runner, model, signature, lanes.device, buckets)
        self.costs_s = self._warm_up(buckets)
        self.max_batch = max(self.costs_s)
        self._costs_by_rows_s = [self._expect_cost_s(rows) for rows in range(1, self.max_batch + 1)]

    @property
    def provider(self) -> str:
        """ONNX Runtime's name of what the model runs on."""
        return self._runner.provider

    def run(self, rows: Rows) -> Rows:
        """The outputs of the model, by name, for its inputs by name.

        Blocks; call it on one of the lanes, with at most `max_batch` rows.
        """
        try:
            made = self._runner.run(rows)
        except Exception:
            self.num_failures += 1
            raise
        self.num_failures = 0
        return made

    def probe(self) -> None:
        """Runs one row of zeros, from any thread but a lane. Raises whatever ONNX Runtime does."""
        self.lanes.aside(self.run, blank_rows(self._signature, 1))

    def run_all(self, rows: Rows) -> Rows:
        """Like `run`, for any number of rows and from any thread but a lane."""
        starts = range(0, len(rows), self.max_batch)
        runs = [self.lanes.submit(self.run, rows[start : start + self.max_batch]) for start in starts]
        return Rows.concatenate([run.result() for run in runs])

    def run_aside(self, rows: Rows) -> Rows:
        """Like `run_all`, one run after the other, so that callers do not notice."""
        starts = range(0, len(rows), self.max_batch)
        return Rows.concatenate([self.lanes.aside(self.run, rows[at : at + self.max_batch]) for at in starts])

    def close(self) -> None:
        """Frees what the model takes. Nothing runs, and nothing is run any more."""
        del self._runner

    def cost_s(self, num_rows: int) -> float:
        """Expected seconds of a run of `num_rows` rows, from 1 to `max_batch`."""
        return self._costs_by_rows_s[num_rows - 1]

    def _warm_up(self, buckets: Sequence[int]) -> dict[int, float]:
        """Runs the buckets, and takes the best of a few runs of each.

        The best, because the figures serve to refuse what cannot be done in time, and a busy start must not. For the
        same reason time on a CPU is the thread's own.
        """
        if self._runner.pads_to_bucket:  # the largest first, so that memory is laid out once
            return dict(
                sorted((num_rows, self.lanes.aside(self._time_run, num_rows)) for num_rows in reversed(buckets))
            )
        costs_s: dict[int, float] = {}
        for num_rows in buckets:
            cost_s = self.lanes.aside(self._time_run, num_rows)
            if cost_s > _LONG_S and costs_s and _gain(num_rows, cost_s, costs_s) < _LEAST_GAIN:
                break  # larger ones would take memory, and hold up whoever is urgent, for nothing
            costs_s[num_rows] = cost_s
        return costs_s

    def _time_run(self, num_rows: int) -> float:
        rows = blank_rows(self._signature, num_rows)
        self.run(rows)
        clock = time.thread_time if self.lanes.any_thread else time.perf_counter
        times_s = []
        for _ in range(_TIMED_RUNS):
            start_s = clock()
            self.run(rows)
            times_s.append(clock() - start_s)
        return min(times_s)

    def _expect_cost_s(self, num_rows: int) -> float:
        if self._runner.pads_to_bucket:
            return next(cost_s for bucket, cost_s in self.costs_s.items() if bucket >= num_rows)
        return float(np.interp(num_rows, list(self.costs_s), list(self.costs_s.values())))


def _gain(num_rows: int, cost_s: float, costs_s: Mapping[int, float]) -> float:
    """The part of the time for a row that a bucket saves, against the largest that is known."""
    largest = max(costs_s)
    return 1 - (cost_s / num_rows) / (costs_s[largest] / largest)
