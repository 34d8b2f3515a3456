"""A run in one process: from its first step, or the one after the last checkpoint, to its end."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from rich.console import Console

from ganserve.contract.errors import ArtifactError, ConfigError, DivergenceError
from ganserve.v1.model_pb2 import ModelCard

from . import checkpoint
from .balance import balance_hint
from .batches import Batches
from .card import build_card
from .config import TrainingConfig
from .datasets import ImageDataset
from .device import allow_tf32
from .evaluation import Evaluator, feature_extractor_for
from .interrupt import StoppedError, StopSignal
from .loop import train
from .progress import describe_steps
from .ranks import Ranks
from .recorder import Recorder
from .rundir import RunDir
from .scores import READINGS
from .shared_recorder import SharedRecorder
from .state import Best, TrainingState
from .waiting import shown

_MAX_ROLLBACKS = 3
_MIN_EVALUATED_IMAGES = 4


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """How a run went.

    Speed and time are those of this process alone, not of the parts before a resume, with evaluations and files.
    """

    run_dir: Path
    steps: int
    """Steps done, resumed parts included."""
    progress: str
    """How far that is, such as `500 of 4,000 steps`."""
    is_complete: bool
    """Whether the run came to the end that its config sets, and not to that of patience or a signal."""
    images_seen: int
    """Real images shown to the discriminator, resumed parts included."""
    images_per_s: float
    seconds: float
    device: str
    sample_grid: Path
    """The last sample grid."""
    best: Best | None
    """The best evaluation; None where there was none."""
    lr_scale: float
    """What the learning rates were multiplied with in the end; below 1 where the run diverged and was rolled back."""
    stopped_by: signal.Signals | None
    """The signal that cut the run short, if one did."""
    warnings: tuple[str, ...]
    """What is wrong with the generator that an export takes: the best or, where none was evaluated, the last."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """What a process trains with: settings, images, and the state that changes."""

    config: TrainingConfig
    dataset: ImageDataset
    card: ModelCard
    state: TrainingState
    ranks: Ranks
    console: Console

    @classmethod
    def begin(
        cls, config: TrainingConfig, dataset: ImageDataset, device: torch.device, ranks: Ranks, console: Console
    ) -> Self:
        """The state before the first step. Writes nothing. Raises ConfigError where config and dataset do not match."""
        card = build_card(config, dataset)
        if config.evaluate_every and len(dataset.images) < _MIN_EVALUATED_IMAGES:
            raise ConfigError(
                f"{dataset.name}: {len(dataset.images)} images are too few to judge samples by; say --evaluate-every 0"
            )
        if config.evaluate_every and READINGS[config.best_metric].needs_classes and dataset.num_classes < 2:
            raise ConfigError(
                f"--best-metric {config.best_metric}: {dataset.name} has no two classes; give another metric"
            )
        if config.balance_classes and dataset.num_classes < 2:
            raise ConfigError(f"--balance-classes: {dataset.name} has no two classes; leave it out")
        try:
            state = TrainingState.fresh(config, card, device, ranks)
        except (MemoryError, RuntimeError) as error:
            raise ConfigError(
                f"--base-width {config.base_width}: the networks do not fit into memory; give a smaller one"
            ) from error
        return cls(config=config, dataset=dataset, card=card, state=state, ranks=ranks, console=console)

    @property
    def run_dir(self) -> RunDir:
        """Folder of the run."""
        return RunDir(self.config.out)

    def run(self, stop: StopSignal) -> RunSummary:
        """Trains to the end of the run, or until a signal comes or patience ends.

        Raises ArtifactError where the run folder cannot be written, ConfigError where memory does not suffice, and
        DivergenceError.
        """
        config, state = self.config, self.state
        self._say(
            f"{self.dataset.name}: {len(self.dataset.images):,} images of {self.card.image.width}×"
            f"{self.card.image.height}, {self.dataset.num_classes} classes. Training {config.arch} with {config.loss} "
            f"on {state.device.type if self.ranks.num_ranks == 1 else f'{self.ranks.num_ranks} × {state.device.type}'}."
        )
        hint = balance_hint(np.bincount(self.dataset.labels)) if self.dataset.labels is not None else ""
        if hint and not config.balance_classes:
            self._say(f"warning: {hint}; --balance-classes shows all classes alike")
        allow_tf32(config.tf32)
        try:
            # From here on the run can be resumed, whatever ends it.
            self._save()
            first_images_seen, started_s = state.images_seen, time.monotonic()
            evaluator = self._evaluator(stop)
            started_s = time.monotonic()
            while not self._attempt(evaluator, stop):
                pass
        except StoppedError:
            pass
        except torch.OutOfMemoryError as error:
            raise ConfigError(
                f"--batch-size {config.batch_size}: a step does not fit into the memory of {state.device}; give a "
                f"smaller one, or a smaller --base-width. {config.out} keeps its last checkpoint"
            ) from error
        except OSError as error:
            raise ArtifactError(f"{config.out}: cannot be written ({error.strerror or error})") from error
        seconds = time.monotonic() - started_s
        return RunSummary(
            run_dir=config.out,
            steps=state.step,
            progress=describe_steps(config, state.step, state.share_done(config)),
            is_complete=state.share_done(config) >= 1,
            images_seen=state.images_seen,
            images_per_s=(state.images_seen - first_images_seen) / max(seconds, 1e-9),
            seconds=seconds,
            device=state.device.type,
            sample_grid=self.run_dir.sample_grid(state.step),
            best=state.best,
            lr_scale=state.lr_scale,
            stopped_by=stop.received,
            warnings=self._warnings,
        )

    def _attempt(self, evaluator: Evaluator | None, stop: StopSignal) -> bool:
        """Trains to the end, or until training diverges and is rolled back. Returns whether it reached the end."""
        config, state, ranks = self.config, self.state, self.ranks
        batches = Batches.of(
            self.dataset,
            conditional=config.conditional,
            seed=config.seed,
            device=state.device,
            mirror=config.mirror,
            rank=ranks.rank,
            num_ranks=ranks.num_ranks,
            balance_classes=config.balance_classes,
        )
        try:
            own = None
            if ranks.is_first:
                own = Recorder(self.run_dir, config, self.card, state, batches, evaluator, stop, self.console)
            with SharedRecorder(ranks, own, stop) as recorder:
                train(
                    state,
                    batches,
                    config,
                    after_step=recorder.after_step,
                    should_stop=recorder.should_stop,
                    ranks=ranks,
                )
                recorder.finish()
        except DivergenceError as error:
            self._roll_back(error)
            return False
        return True

    def _roll_back(self, error: DivergenceError) -> None:
        """Restores the last checkpoint and halves the learning rates. Raises DivergenceError after too many times."""
        state = self.state
        num_rollbacks, lr_scale, trained_s = state.num_rollbacks, state.lr_scale, state.trained_s
        if num_rollbacks == _MAX_ROLLBACKS:
            raise DivergenceError(
                f"{error}, and going back to the last good checkpoint with half the learning rates did not help "
                f"{num_rollbacks} times; that checkpoint is in {self.config.out}. Train again with lower "
                "--generator-lr and --discriminator-lr, --clip-grad-norm 1, or another --loss"
            ) from error
        checkpoint.load(self.run_dir.checkpoint()).restore(state)
        state.num_rollbacks, state.lr_scale, state.trained_s = num_rollbacks + 1, lr_scale / 2, trained_s
        self._save()
        self._say(f"warning: {error}; continuing from step {state.step:,} with learning rates × {state.lr_scale:g}")

    def _save(self) -> None:
        if self.ranks.is_first:
            checkpoint.save(self.run_dir.checkpoint(), self.state, self.config, self.card)

    def _evaluator(self, stop: StopSignal) -> Evaluator | None:
        config = self.config
        if not config.evaluate_every or not self.ranks.is_first:
            return None
        with shown(self.console, "learning to judge samples, once for these images") as on_progress:

            def show(num_done: int, total: int) -> None:
                on_progress(num_done, total)
                if stop():
                    raise StoppedError

            feature_extractor = feature_extractor_for(self.dataset, device=self.state.device, on_progress=show)
        return Evaluator(
            self.dataset,
            feature_extractor,
            latent_dim=config.latent_dim,
            conditional=config.conditional,
            num_images=config.evaluate_images,
            seed=config.seed,
            device=self.state.device,
            balanced=config.balance_classes,
        )

    @property
    def _warnings(self) -> tuple[str, ...]:
        if not self.ranks.is_first:
            return ()
        try:
            return tuple(checkpoint.load_chosen(self.config.out).card.warnings)
        except ArtifactError as error:
            return (str(error),)

    def say_stopping(self) -> None:
        """Tells whoever asked for it that the run will stop soon."""
        self._say("stopping after this step; a second signal stops at once and loses what is not saved")

    def _say(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, markup=False)
