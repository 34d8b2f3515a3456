"""Figures of a run: summed on the device, read at intervals, kept in `stats.jsonl` and for TensorBoard."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from ganserve.contract.errors import GanserveError
from ganserve.contract.files import new_file

from .loop import StepLosses
from .rundir import RunDir


@dataclass(frozen=True)
class Figures:
    """One line of `stats.jsonl`. Losses and logits are means over the steps since the line before."""

    step: int
    images_seen: int
    images_per_s: float
    critic_loss: float
    generator_loss: float
    real_logit: float
    fake_logit: float


class Report:
    """Collects the losses of each step, and turns them into `Figures` when asked."""

    def __init__(self, run_dir: RunDir, *, step: int, images_seen: int) -> None:
        """Goes on after `step`; lines and events of later steps, from a run that was cut off, are dropped."""
        self._stats_path = run_dir.stats
        self._tensorboard_path = run_dir.tensorboard
        _keep_until(self._stats_path, step)
        self._first_step = step
        self._last_images = images_seen
        self._last_time_s = time.monotonic()
        self._sum: Tensor | None = None
        self._num_summed = 0

    def __enter__(self) -> Self:
        self._stats = self._stats_path.open("a", encoding="utf-8")
        self._tensorboard = SummaryWriter(self._tensorboard_path, purge_step=self._first_step + 1)
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stats.close()
        self._tensorboard.close()

    def add(self, losses: StepLosses) -> None:
        """Adds one step. Waits for nothing."""
        row = torch.stack([losses.critic, losses.generator, losses.real_logit, losses.fake_logit])
        self._sum = row if self._sum is None else self._sum + row
        self._num_summed += 1

    def flush(self, *, step: int, images_seen: int) -> Figures | None:
        """Writes the figures since the last call; None where no step has been added since.

        Raises GanserveError where a loss is no longer finite, because nothing good comes after that.
        """
        if self._sum is None:
            return None
        means = (self._sum / self._num_summed).tolist()
        if not all(np.isfinite(means)):
            raise GanserveError(
                f"step {step}: the losses are no longer finite; the last checkpoint is untouched. "
                "Try lower --generator-lr and --critic-lr, or another --loss"
            )
        now_s = time.monotonic()
        images_per_s = (images_seen - self._last_images) / max(now_s - self._last_time_s, 1e-9)
        figures = Figures(step, images_seen, round(images_per_s, 1), *means)
        self._stats.write(json.dumps(dataclasses.asdict(figures)) + "\n")
        self._stats.flush()
        for name in ("critic_loss", "generator_loss", "real_logit", "fake_logit", "images_per_s"):
            self._tensorboard.add_scalar(f"training/{name}", getattr(figures, name), step)
        self._last_images, self._last_time_s = images_seen, now_s
        self._sum, self._num_summed = None, 0
        return figures

    def add_grid(self, picture: npt.NDArray[np.uint8], *, step: int) -> None:
        """Shows a sample grid, uint8 (H, W, C), in TensorBoard."""
        self._tensorboard.add_image("samples", picture, step, dataformats="HWC")


def _keep_until(stats: Path, step: int) -> None:
    if stats.is_file():
        lines = stats.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if _step_of(line) <= step]
        with new_file(stats) as temporary:
            temporary.write_text("".join(kept), encoding="utf-8")


def _step_of(line: str) -> float:
    """The step of a line of figures; infinite for one that is torn or none."""
    try:
        return int(json.loads(line)["step"]) if line.endswith("\n") else math.inf
    except (ValueError, KeyError, TypeError):
        return math.inf
