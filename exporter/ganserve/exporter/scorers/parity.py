"""Whether a scorer's ONNX file gives the numbers that PyTorch gives, the same bits at every batch size."""

from __future__ import annotations

import time
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ganserve.contract.bundle import IMAGE_INPUT, SCORES_OUTPUT, golden_rows, signature_of
from ganserve.contract.errors import ParityError
from ganserve.exporter.parity import BATCH_SIZES, Comparison, OnProgress, one_thread
from ganserve.exporter.tolerance import Tolerance
from ganserve.runtime.runners import CpuRunner
from ganserve.v1.model_pb2 import ModelCard

_SEED: Final = 0


def check_scores(
    scorer: nn.Module, card: ModelCard, model: bytes, tolerance: Tolerance, on_progress: OnProgress | None = None
) -> list[Comparison]:
    """Compares a graph with its scorer on addressed textures, at every batch size.

    Args:
        scorer: in eval mode on the CPU.
        card: its card.
        model: the graph.
        tolerance: how far a number may be off, for numbers of 1 and less; as much of larger ones.
        on_progress: called with the comparisons done and their number.

    Raises:
        ParityError: a number differs by more, is not finite, or depends on the batch.
    """
    runner = CpuRunner(model, signature_of(card))
    comparisons: list[Comparison] = []
    in_smaller_batch: NDArray[np.float32] = np.empty((0, len(card.scores)), np.float32)
    for batch_size in BATCH_SIZES:
        rows = golden_rows(card, _SEED, batch_size)
        with torch.inference_mode(), one_thread():
            expected = scorer(torch.from_numpy(rows.columns[IMAGE_INPUT])).numpy()
        start_s = time.perf_counter()
        scores = runner.run(rows).columns[SCORES_OUTPUT]
        comparison = _compare(expected, scores, time.perf_counter() - start_s)
        allowed = tolerance.floats * max(1.0, comparison.highest, -comparison.lowest)
        where = f"batch of {batch_size}"
        if not np.isfinite(expected).all():
            raise ParityError(f"{where}: the scorer itself gives numbers that are not finite")
        if not comparison.max_float_error <= allowed:
            raise ParityError(f"{where}: a number differs by {comparison.max_float_error:.3g}, more than {allowed:.3g}")
        if not np.array_equal(scores[: len(in_smaller_batch)], in_smaller_batch):
            raise ParityError(
                f"{where}: a number is another than in a batch of {len(in_smaller_batch)}; it must not depend on the "
                "other images"
            )
        in_smaller_batch = scores
        comparisons.append(comparison)
        if on_progress is not None:
            on_progress(len(comparisons), len(BATCH_SIZES))
    return comparisons


def _compare(expected: NDArray[np.float32], scores: NDArray[np.float32], seconds: float) -> Comparison:
    return Comparison(
        batch_size=len(scores),
        label=None,
        max_float_error=float(np.abs(scores - expected).max()),
        max_levels_off=0,
        num_values=0,  # of pixels
        num_values_off=0,
        seconds=seconds,
        lowest=float(expected.min()),
        highest=float(expected.max()),
    )
