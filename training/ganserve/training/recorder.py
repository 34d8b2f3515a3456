"""What a run leaves behind, step by step: figures, sample grids and checkpoints, each at its interval."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Self

from rich.console import Console

from ganserve.v1.model_pb2 import ModelCard

from . import checkpoint
from .batches import Batches
from .config import TrainingConfig
from .ema import estimate_batch_norm
from .loop import StepLosses
from .previews import Preview, calibration_batches, write_png
from .progress import ProgressView
from .report import Report
from .rundir import RunDir
from .state import TrainingState


class Recorder:
    """Watches a `TrainingState` from outside the loop. It changes only the batch-norm statistics of the average."""

    def __init__(
        self,
        run_dir: RunDir,
        config: TrainingConfig,
        card: ModelCard,
        state: TrainingState,
        batches: Batches,
        console: Console,
    ) -> None:
        self._run_dir = run_dir
        self._config = config
        self._card = card
        self._state = state
        self._batches = batches
        self._report = Report(run_dir, step=state.step, images_seen=state.images_seen)
        self._progress = ProgressView(console, step=state.step, num_steps=config.steps)
        self._preview = Preview.of(
            config.latent_dim, len(card.class_names), seed=config.seed, device=batches.images.device
        )
        self._calibrated_step: int | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._open.enter_context(self._report)
        self._open.enter_context(self._progress)
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open.__exit__(error_type, error, traceback)

    def after_step(self, losses: StepLosses) -> None:
        """Takes in one step, and writes what is due."""
        step, config = self._state.step, self._config
        self._report.add(losses)
        self._progress.on_step(step)
        if step == config.steps:
            return
        if step % config.report_every == 0:
            self._write_figures()
        if step % config.sample_every == 0:
            self._write_samples()
        if step % config.checkpoint_every == 0:
            self._save()

    def finish(self) -> None:
        """Writes everything for the step that the run ends on, due or not."""
        self._save()
        self._write_samples()

    def _write_figures(self) -> None:
        figures = self._report.flush(step=self._state.step, images_seen=self._state.images_seen)
        if figures is not None:
            self._progress.on_report(figures)

    def _write_samples(self) -> None:
        self._calibrate()
        picture = self._preview.draw(self._state.ema)
        write_png(self._run_dir.sample_grid(self._state.step), picture)
        self._report.add_grid(picture, step=self._state.step)

    def _save(self) -> None:
        self._write_figures()
        self._calibrate()
        self._state.check_finite()
        checkpoint.save(self._run_dir.checkpoint(), self._state, self._config, self._card)

    def _calibrate(self) -> None:
        """Once a step: a grid and a checkpoint of the same step share it."""
        if self._calibrated_step == self._state.step:
            return
        self._calibrated_step = self._state.step
        batches = calibration_batches(self._batches, self._config.latent_dim, seed=self._config.seed)
        estimate_batch_norm(self._state.ema, batches)
