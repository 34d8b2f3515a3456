"""A run from its config to its last checkpoint: `training_from_config` starts one, `resume_training` goes on."""

from __future__ import annotations

import dataclasses
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress

from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.v1.model_pb2 import ModelCard

from . import checkpoint
from .batches import Batches
from .card import build_card
from .config import DeviceName, TrainingConfig
from .datasets import ImageDataset, absolute, load
from .device import choose_device
from .interrupt import StopSignal
from .loop import train
from .recorder import Recorder
from .rundir import RunDir
from .state import TrainingState


@dataclass(frozen=True)
class RunSummary:
    """How a run went. Speed and time are those of this process alone, not of the parts before a resume."""

    run_dir: Path
    steps: int
    """Steps done, resumed parts included."""
    num_steps: int
    """Steps that the run is meant to have."""
    images_seen: int
    """Real images shown to the critic, resumed parts included."""
    images_per_s: float
    seconds: float
    device: str
    sample_grid: Path
    """The last sample grid."""
    stopped_by: signal.Signals | None
    """What cut the run short; None where it ran to its end."""


def training_from_config(config: TrainingConfig, *, console: Console | None = None) -> RunSummary:
    """Trains a new run in `config.out` and returns when it is done or a signal stops it; either way all is saved.

    `console` shows progress; None shows nothing. Raises ConfigError and DatasetError before anything is written.
    """
    console = console or Console(quiet=True)
    config = dataclasses.replace(config, data=absolute(config.data))
    device = choose_device(config.device)
    dataset = _load_dataset(config.data, console)
    card = build_card(config, dataset)
    state = _fresh_state(config, card, device)
    with StopSignal() as stop:
        return _run(RunDir.create(config), config, dataset, card, state, stop, console)


def resume_training(
    run: Path, *, steps: int | None = None, device: DeviceName | None = None, console: Console | None = None
) -> RunSummary:
    """Goes on with the run in folder `run` from its last checkpoint, as if it had never stopped.

    `steps` is a new total for the run and `device` a new place for it; without them the run keeps its own. Raises
    ArtifactError for a run that cannot be read and ConfigError where there is nothing left to do or its data changed.
    """
    console = console or Console(quiet=True)
    run_dir = RunDir.existing(run)
    saved = checkpoint.load(run_dir.checkpoint())
    config = dataclasses.replace(
        saved.config,
        out=run,
        steps=saved.config.steps if steps is None else steps,
        device=saved.config.device if device is None else device,
    )
    if config.steps <= saved.step:
        raise ConfigError(f"--steps {config.steps}: {run} has done {saved.step} steps; give a larger total to go on")
    chosen_device = choose_device(config.device)
    try:
        dataset = _load_dataset(config.data, console)
    except ConfigError as error:
        raise ConfigError(
            f"--resume {run}: its images are no longer at {config.data}; put them back there to go on"
        ) from error
    card = build_card(config, dataset)
    if card.dataset.digest != saved.card.dataset.digest:
        raise ConfigError(
            f"--resume {run}: {config.data} now holds other images or labels than the run began with "
            f"({card.dataset.num_images:,} images, before {saved.card.dataset.num_images:,}); bring the old ones back"
        )
    state = _fresh_state(config, card, chosen_device)
    saved.restore(state)
    with StopSignal() as stop:
        run_dir.write_config(config)
        return _run(run_dir, config, dataset, card, state, stop, console)


def _run(
    run_dir: RunDir,
    config: TrainingConfig,
    dataset: ImageDataset,
    card: ModelCard,
    state: TrainingState,
    stop: StopSignal,
    console: Console,
) -> RunSummary:
    console.print(
        f"{dataset.name}: {len(dataset.images):,} images of {card.image.width}×{card.image.height}, "
        f"{dataset.num_classes} classes. Training {config.arch} with {config.loss} on {state.device.type}.",
        soft_wrap=True,
        markup=False,
    )
    batches = Batches.of(dataset, conditional=config.conditional, seed=config.seed, device=state.device)
    first_images_seen, started_s = state.images_seen, time.monotonic()
    try:
        # From here on the run can be gone on with, whatever ends it.
        checkpoint.save(run_dir.checkpoint(), state, config, card)
        with Recorder(run_dir, config, card, state, batches, console) as recorder:
            train(state, batches, config, after_step=recorder.after_step, should_stop=stop)
            recorder.finish()
    except OSError as error:
        raise ArtifactError(f"{run_dir.root}: cannot be written ({error.strerror or error})") from error
    seconds = time.monotonic() - started_s
    return RunSummary(
        run_dir=run_dir.root,
        steps=state.step,
        num_steps=config.steps,
        images_seen=state.images_seen,
        images_per_s=(state.images_seen - first_images_seen) / max(seconds, 1e-9),
        seconds=seconds,
        device=state.device.type,
        sample_grid=run_dir.sample_grid(state.step),
        stopped_by=stop.received,
    )


def _fresh_state(config: TrainingConfig, card: ModelCard, device: torch.device) -> TrainingState:
    try:
        return TrainingState.fresh(config, card, device)
    except (MemoryError, RuntimeError) as error:
        raise ConfigError(
            f"--base-width {config.base_width}: the networks do not fit into memory; give a smaller one"
        ) from error


def _load_dataset(source: str, console: Console) -> ImageDataset:
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("decoding", total=None)
        return load(source, lambda num_done, total: progress.update(task, completed=num_done, total=total))
