"""The engine: one model on one device, with launch lanes, batch buckets and what each bucket costs.

Knows nothing of gRPC, requests or queues.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np

from ganserve.contract.card import is_conditional
from ganserve.contract.images import Images
from ganserve.contract.labels import Labels
from ganserve.contract.latents import Latents
from ganserve.v1.model_pb2 import ModelCard

from .device import Device
from .runners import open_runner

_TIMED_RUNS: Final = 3


def bucket_sizes(max_batch: int) -> tuple[int, ...]:
    """Powers of two below `max_batch`, and `max_batch` itself."""
    return (*(2**k for k in range(max_batch.bit_length()) if 2**k < max_batch), max_batch)


class Engine:
    """A loaded, warmed-up model.

    Attributes:
        lanes: the threads that `run` belongs on. On a CPU there is one a core, all sharing one session; on a GPU there
            is exactly one, which also loads the model and captures its graphs.
        num_lanes: runs that may be under way at once.
        device: `cpu` or `cuda`.
        costs_s: seconds a run, by bucket size, ascending.
    """

    def __init__(self, model: bytes, card: ModelCard, *, device: Device, num_lanes: int, max_batch: int) -> None:
        """Loads, warms up and times the model.

        Raises:
            ArtifactError: ONNX Runtime cannot load the model.
            ConfigError: the device cannot be used.
        """
        self.device = device
        self.num_lanes = 1 if device == "cuda" else num_lanes
        self.lanes = ThreadPoolExecutor(self.num_lanes, thread_name_prefix="lane")
        buckets = bucket_sizes(max_batch)
        try:
            self._runner = self.lanes.submit(open_runner, model, card, device, buckets).result()
            self.costs_s = self.lanes.submit(self._warm_up, card, buckets).result()
        except BaseException:
            self.close()
            raise

    @property
    def max_batch(self) -> int:
        """Most rows that one run takes."""
        return max(self.costs_s)

    def run(self, latents: Latents, labels: Labels | None) -> Images:
        """uint8 (N, H, W, C) from latents (N, latent_dim) and, for a conditional generator, labels (N,).

        Blocks; call it on one of `lanes`, with at most `max_batch` rows.
        """
        return self._runner.run(latents, labels)

    def run_all(self, latents: Latents, labels: Labels | None) -> Images:
        """Like `run`, for any number of rows and from any thread but a lane."""
        starts = range(0, len(latents), self.max_batch)
        parts = [slice(start, start + self.max_batch) for start in starts]
        runs = [self.lanes.submit(self.run, latents[part], None if labels is None else labels[part]) for part in parts]
        return np.concatenate([run.result() for run in runs])

    def cost_s(self, rows: int) -> float:
        """Expected seconds of a run of `rows` rows, from 1 to `max_batch`."""
        if not self._runner.pads_to_bucket:
            return float(np.interp(rows, list(self.costs_s), list(self.costs_s.values())))
        return next(cost_s for bucket, cost_s in self.costs_s.items() if bucket >= rows)

    def close(self) -> None:
        """Waits for the runs under way and frees the lanes."""
        self.lanes.shutdown(wait=True, cancel_futures=True)

    def _warm_up(self, card: ModelCard, buckets: Sequence[int]) -> dict[int, float]:
        """Runs every bucket, the largest first so that memory is laid out once, and takes the best of a few runs.

        The best, because the figures serve to refuse what cannot be done in time, and a busy start must not.
        """
        costs_s = {rows: self._time_run(card, rows) for rows in sorted(buckets, reverse=True)}
        return dict(sorted(costs_s.items()))

    def _time_run(self, card: ModelCard, rows: int) -> float:
        latents = np.zeros((rows, card.latent_dim), np.float32)
        labels = np.zeros(rows, np.int64) if is_conditional(card) else None
        self.run(latents, labels)
        times_s = []
        for _ in range(_TIMED_RUNS):
            start_s = time.perf_counter()
            self.run(latents, labels)
            times_s.append(time.perf_counter() - start_s)
        return min(times_s)
