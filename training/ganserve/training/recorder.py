"""What a run leaves behind, step by step: figures, scores, sample grids and checkpoints, each at its interval."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from rich.console import Console

from ganserve.contract.errors import ArtifactError
from ganserve.v1.model_pb2 import ModelCard

from . import checkpoint
from .batches import Batches
from .config import TrainingConfig
from .ema import estimate_batch_norm
from .evaluation import Evaluator, troubles_of
from .health import Health
from .interrupt import StopSignal
from .loop import StepLosses
from .previews import Preview, calibration_batches, write_png
from .progress import ProgressView
from .report import Report
from .rundir import CheckpointName, RunDir
from .scores import Scores
from .selection import is_new_best
from .state import Best, TrainingState


class Recorder:
    """Watches a `TrainingState` from outside the loop.

    Of all that training reads it changes nothing; it estimates the batch norms of the average, and notes the best.
    """

    def __init__(
        self,
        run_dir: RunDir,
        config: TrainingConfig,
        card: ModelCard,
        state: TrainingState,
        batches: Batches,
        evaluator: Evaluator | None,
        stop: StopSignal,
        console: Console,
    ) -> None:
        self._run_dir = run_dir
        self._config = config
        self._card = card
        self._state = state
        self._batches = batches
        self._evaluator = evaluator
        self._stop = stop
        self._console = console
        self._health = Health(config)
        self._report = Report(run_dir, step=state.step, images_seen=state.images_seen, num_skipped=state.num_skipped)
        self._progress = ProgressView(console, config, step=state.step, share_done=state.share_done(config))
        self._preview = Preview.of(card, seed=config.seed, device=state.device)
        self._first_step = state.step
        self._calibrated_step: int | None = None
        self._evaluated_step = state.step
        self._scores: Scores | None = None
        self._open = ExitStack()
        state.best = self._kept_best()

    def __enter__(self) -> Self:
        self._open.enter_context(self._report)
        self._open.enter_context(self._progress)
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open.__exit__(error_type, error, traceback)

    def should_stop(self) -> bool:
        """Whether a signal asked for it, or so many evaluations brought no new best that the run should end here."""
        best, patience = self._state.best, self._config.patience
        return self._stop() or (best is not None and patience is not None and best.num_since >= patience)

    def after_step(self, losses: StepLosses) -> None:
        """Takes in one step, and writes what is due. Raises DivergenceError where going on would be in vain."""
        step, config = self._state.step, self._config
        self._report.add(losses)
        self._progress.on_step(step, self._state.share_done(config))
        if self._state.share_done(config) >= 1:
            return
        if step % config.report_every == 0:
            self._write_figures()
        if config.evaluate_every and step % config.evaluate_every == 0:
            self._evaluate()
        if step % config.sample_every == 0:
            self._write_samples()
        if step % config.checkpoint_every == 0:
            self._save("last")

    def finish(self) -> None:
        """Writes everything for the step that the run ends on, due or not; cut short by a signal, no scores."""
        self._write_figures()
        if self._state.share_done(self._config) >= 1 or not self._stop():
            self._evaluate()
        self._save("last")
        self._write_samples()

    def _write_figures(self) -> None:
        state = self._state
        figures = self._report.flush(step=state.step, images_seen=state.images_seen, num_skipped=state.num_skipped)
        if figures is not None:
            self._progress.on_report(figures)
            self._warn(self._health.check_figures(figures))

    def _evaluate(self) -> None:
        if self._evaluator is None or self._evaluated_step == self._state.step:
            return
        self._evaluated_step = self._state.step
        state = self._state
        self._write_figures()
        self._calibrate()
        state.check_finite()
        self._scores = scores = self._evaluator.scores(state.ema)
        judge = self._evaluator.feature_extractor.digest
        values = {**scores.to_dict(), "feature_extractor": judge}
        self._report.add_scores(values, step=state.step, images_seen=state.images_seen)
        self._report.restart_clock()
        self._progress.on_scores(scores, step=state.step)
        self._warn(self._health.check_scores(scores))
        metric = self._config.best_metric
        candidate = Best(value=getattr(scores, metric), step=state.step, judge=judge)
        if state.best is None or is_new_best(candidate, state.best, metric):
            state.best = candidate
            self._save("best")
        elif state.step > state.best.step:
            state.best = dataclasses.replace(state.best, num_since=state.best.num_since + 1)

    def _write_samples(self) -> None:
        self._calibrate()
        picture = self._preview.draw(self._state.ema)
        write_png(self._run_dir.sample_grid(self._state.step), picture)
        self._report.add_grid(picture, step=self._state.step)
        self._report.restart_clock()

    def _save(self, name: CheckpointName) -> None:
        self._write_figures()
        self._calibrate()
        self._state.check_finite()
        if name == "last" and self._state.step > self._first_step:
            self._state.num_rollbacks = 0
        card = ModelCard()
        card.CopyFrom(self._card)
        if self._scores is not None and self._evaluated_step == self._state.step:
            card.metrics.update(self._scores.metrics())
            card.warnings.extend(trouble.text for trouble in troubles_of(self._scores))
        checkpoint.save(self._run_dir.checkpoint(name), self._state, self._config, card)
        self._report.restart_clock()

    def _calibrate(self) -> None:
        """Once a step: a grid and a checkpoint of the same step share it."""
        if self._calibrated_step == self._state.step:
            return
        self._calibrated_step = self._state.step
        config = self._config
        batches = calibration_batches(
            self._batches,
            config.latent_dim,
            batch_size=config.batch_size // self._batches.num_ranks,
            seed=config.seed,
        )
        estimate_batch_norm(self._state.ema, batches)

    def _kept_best(self) -> Best | None:
        """The evaluation of the weights in checkpoint `best`, whatever `last` knows of it.

        It is of a later step than the state's where steps were lost: to a rollback, or to what ended the process.
        """
        path, known = self._run_dir.checkpoint("best"), self._state.best
        if not path.is_file():
            return None
        try:
            kept = checkpoint.load(path).progress.best
        except ArtifactError as error:
            self._warn([f"{error}; the next evaluation takes its place"])
            return None
        if known is not None and kept == dataclasses.replace(known, num_since=0):
            return known
        return kept

    def _warn(self, warnings: Iterable[str]) -> None:
        for warning in warnings:
            self._console.print(f"warning: step {self._state.step:,}: {warning}", soft_wrap=True, markup=False)
