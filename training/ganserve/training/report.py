"""Figures of a run: summed on the device, read at intervals, kept as JSON lines and for TensorBoard."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ganserve.contract.files import new_file

from .event_file import EventFile
from .loop import StepLosses
from .rundir import RunDir

_STEP_LOSSES = tuple(field.name for field in dataclasses.fields(StepLosses))


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One line of `stats.jsonl`. Losses, logits and the accuracy are means over the steps since the line before."""

    step: int
    images_seen: int
    images_per_s: float
    """Evaluations and files not counted."""
    discriminator_loss: float
    generator_loss: float
    penalty: float
    real_logit: float
    fake_logit: float
    discriminator_accuracy: float
    num_steps: int
    """Steps since the line before."""
    num_skipped: int
    """Optimiser steps among them that were not taken, because a loss or gradient was not finite."""


class Report:
    """Collects the losses of each step, and turns them into `Figures` when asked."""

    def __init__(self, run_dir: RunDir, *, step: int, images_seen: int, num_skipped: Tensor) -> None:
        """Continues after `step`; lines, grids and events of later steps, which were lost, are dropped."""
        self._run_dir = run_dir
        for lines in (run_dir.stats, run_dir.evaluations):
            _keep_until(lines, step)
        for step_of_grid, grid in run_dir.sample_grids():
            if step_of_grid > step:
                grid.unlink()
        self._first_step = self._last_step = step
        self._last_images = images_seen
        self._last_skipped = num_skipped.clone()
        self._last_time_s = time.monotonic()
        self._sum: Tensor | None = None

    def __enter__(self) -> Self:
        self._events = EventFile(self._run_dir.tensorboard, first_step=self._first_step + 1)
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._events.close()

    def add(self, losses: StepLosses) -> None:
        """Adds one step; one whose losses are not finite counts in `num_skipped` alone. Waits for nothing."""
        row = torch.stack([getattr(losses, name) for name in _STEP_LOSSES] + [torch.ones_like(losses.discriminator)])
        row = torch.where(torch.isfinite(row).all(), row, 0.0)
        self._sum = row if self._sum is None else self._sum + row

    def flush(self, *, step: int, images_seen: int, num_skipped: Tensor) -> Figures | None:
        """Writes the figures since the last call; None where no step has been added since."""
        if self._sum is None:
            return None
        *sums, num_finite = self._sum.tolist()
        means = dict(zip(_STEP_LOSSES, (value / max(num_finite, 1.0) for value in sums), strict=True))
        images_per_s = (images_seen - self._last_images) / max(time.monotonic() - self._last_time_s, 1e-9)
        figures = Figures(
            step=step,
            images_seen=images_seen,
            images_per_s=round(images_per_s, 1),
            discriminator_loss=means["discriminator"],
            generator_loss=means["generator"],
            penalty=means["penalty"],
            real_logit=means["real_logit"],
            fake_logit=means["fake_logit"],
            discriminator_accuracy=means["discriminator_accuracy"],
            num_steps=step - self._last_step,
            num_skipped=round(float(num_skipped - self._last_skipped)),
        )
        self._write(self._run_dir.stats, dataclasses.asdict(figures), group="training")
        self._last_step, self._last_images = step, images_seen
        self._last_skipped = num_skipped.clone()
        self._sum = None
        self.restart_clock()
        return figures

    def restart_clock(self) -> None:
        """Leaves the time since the last call out of the speed, where it went into something else than training."""
        self._last_time_s = time.monotonic()

    def add_scores(self, scores: Mapping[str, Any], *, step: int, images_seen: int) -> None:
        """Writes what an evaluation found."""
        self._write(self._run_dir.evaluations, {"step": step, "images_seen": images_seen, **scores}, group="evaluation")

    def add_grid(self, picture: npt.NDArray[np.uint8], *, step: int) -> None:
        """Shows a sample grid, uint8 (H, W, C), in TensorBoard."""
        self._events.add_picture("samples", picture, step=step)

    def _write(self, lines: Path, values: dict[str, Any], *, group: str) -> None:
        with lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps({name: _or_none(value) for name, value in values.items()}, allow_nan=False) + "\n")
        for name, value in values.items():
            if isinstance(value, float):
                self._events.add_scalar(f"{group}/{name}", value, step=values["step"])


def _or_none(value: Any) -> Any:
    """Null for a number that JSON cannot hold."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _keep_until(lines_path: Path, step: int) -> None:
    if lines_path.is_file():
        lines = lines_path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if _step_of(line) <= step]
        with new_file(lines_path) as temporary:
            temporary.write_text("".join(kept), encoding="utf-8")


def _step_of(line: str) -> float:
    """The step of a line of figures; infinite for one that is torn or none."""
    try:
        return int(json.loads(line)["step"]) if line.endswith("\n") else math.inf
    except (ValueError, KeyError, TypeError):
        return math.inf
