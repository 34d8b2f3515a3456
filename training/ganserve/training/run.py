"""A run from its config to its last checkpoint: `training_from_config` starts one, `resume_training` continues it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from ganserve.contract.errors import ConfigError, DatasetError
from ganserve.v1.model_pb2 import ModelCard

from . import checkpoint
from .config import TrainingConfig
from .datasets import ImageDataset, Resize, absolute, load, refuse_inside
from .device import choose_device
from .interrupt import StopSignal
from .progress import describe_steps
from .ranks import Ranks
from .rundir import RunDir
from .session import RunSummary, Session

MAY_CHANGE = frozenset(
    {
        "data",
        "out",
        "steps",
        "minutes",
        "device",
        "evaluate_every",
        "patience",
        "report_every",
        "sample_every",
        "checkpoint_every",
    }
)
"""Settings that a resumed run may have other values of. The images themselves may not change, wherever they lie."""


def training_from_config(
    config: TrainingConfig,
    *,
    console: Console | None = None,
    on_images: Callable[[ImageDataset], None] = lambda _: None,
) -> RunSummary:
    """Trains a new run in `config.out` and returns when it is done or a signal stops it; either way all is saved.

    `console` shows progress; None shows nothing. `on_images` is given the images before training begins.

    Raises ConfigError and DatasetError before anything is written, and DivergenceError where the run could not be kept
    finite; its last good checkpoint stays.
    """
    ranks = Ranks.from_environment()
    console = _console_of(ranks, console)
    config = dataclasses.replace(config, data=absolute(config.data))
    refuse_inside(config.out, config.data, "--out")
    ranks.share_of(config.batch_size)
    device = choose_device(config.device, ranks)
    if ranks.is_first:
        RunDir(config.out).check_free()
    with ranks.joined(device):
        with ranks.one_of_each_machine_first():
            dataset = load_dataset(config, console)
        on_images(dataset)
        session = Session.begin(config, dataset, device, ranks, console)
        with StopSignal(session.say_stopping) as stop, RunDir.started(config) if ranks.is_first else nullcontext():
            return session.run(stop)


def resume_training(run: Path, *, console: Console | None = None, **changes: Any) -> RunSummary:
    """Continues the run in folder `run` from its last checkpoint, as if it had never stopped.

    `changes` are settings of `TrainingConfig` by name. Those in `MAY_CHANGE` may differ from the run's own; `steps` or
    `minutes` is a new total. Raises ArtifactError for a run that cannot be read, and ConfigError where another setting
    or the images differ from those that it began with, or where there is nothing left to do.
    """
    ranks = Ranks.from_environment()
    run_dir = RunDir.existing(run)
    run_dir.check_resumable()
    # Before the checkpoint is read, because the process that holds the lock may be about to write a newer one.
    with run_dir.locked() if ranks.is_first else nullcontext():
        return _resume(run_dir, ranks, _console_of(ranks, console), changes)


def _resume(run_dir: RunDir, ranks: Ranks, console: Console, changes: dict[str, Any]) -> RunSummary:
    saved = checkpoint.load(run_dir.checkpoint())
    config = dataclasses.replace(saved.config, **changes | {"out": run_dir.root})
    _refuse_other_settings(config, saved.config)
    _check_length(config, saved)
    config = dataclasses.replace(config, data=absolute(config.data))
    refuse_inside(run_dir.root, config.data, "--resume")
    ranks.share_of(config.batch_size)
    device = choose_device(config.device, ranks)
    with ranks.joined(device):
        with ranks.one_of_each_machine_first():
            dataset = load_same_dataset(config, saved.card, console, source=f"--resume {run_dir.root}")
        session = Session.begin(config, dataset, device, ranks, console)
        saved.restore(session.state)
        with StopSignal(session.say_stopping) as stop:
            if ranks.is_first:
                run_dir.clear_partial_files()
                run_dir.write_config(config)
            return session.run(stop)


def load_dataset(config: TrainingConfig, console: Console) -> ImageDataset:
    """The images that `config` names, with a progress bar. Raises ConfigError and DatasetError."""
    resize = None if config.size is None else Resize.parse(config.size, config.resize_mode)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("decoding", total=None)
        dataset = load(
            config.data,
            resize=resize,
            skip_bad=config.skip_bad,
            on_progress=lambda num_done, total: progress.update(task, completed=num_done, total=total),
        )
    for note in dataset.notes:
        console.print(f"note: {note}", soft_wrap=True, highlight=False, markup=False)
    if dataset.skipped:
        console.print(
            f"warning: {len(dataset.skipped):,} images left out, such as {dataset.skipped[0]}",
            soft_wrap=True,
            markup=False,
        )
    return dataset


def _check_length(config: TrainingConfig, saved: checkpoint.Checkpoint) -> None:
    """Raises ConfigError where there is nothing left to train, or where the run cannot have its new length."""
    flag, length, before = (
        ("--steps", config.num_steps, saved.config.num_steps)
        if config.minutes is None
        else ("--minutes", config.minutes, saved.config.minutes)
    )
    if before is None:
        other = "--minutes" if config.minutes is None else "--steps"
        raise ConfigError(f"{flag} {length}: the length of {config.out} is set by {other}; give a new total of those")
    if length != before and config.lr_schedule != "constant":
        raise ConfigError(
            f"{flag} {length:g}: the learning rates of {config.out} fall until {flag} {before:g}, and another total "
            "would make them jump; start a new run with another --out"
        )
    if config.share_done(saved.step, saved.progress.trained_s) >= 1:
        done = describe_steps(saved.config, saved.step, saved.config.share_done(saved.step, saved.progress.trained_s))
        raise ConfigError(f"{flag} {length:g}: {config.out} has done {done}; give a larger total to continue")


def _refuse_other_settings(config: TrainingConfig, saved: TrainingConfig) -> None:
    now, before = config.to_dict(), saved.to_dict()
    differences = [
        f"--{name.replace('_', '-')} is {now[name]!r}, before {before[name]!r}"
        for name in now
        if name not in MAY_CHANGE and now[name] != before[name]
    ]
    if differences:
        raise ConfigError(
            f"--resume {config.out}: the run began with other settings ({'; '.join(differences)}); "
            "leave these flags out, or start a new run with another --out"
        )


def load_same_dataset(config: TrainingConfig, saved: ModelCard, console: Console, *, source: str) -> ImageDataset:
    """The images that a run began with; `source` is for messages.

    Raises DatasetError where they are gone or unreadable, and ConfigError where they are others.
    """
    try:
        dataset = load_dataset(config, console)
    except (ConfigError, DatasetError) as error:
        raise DatasetError(
            f"{source}: its images are needed, and {error} (images that moved are found with --data)"
        ) from error
    if dataset.digest != saved.dataset.digest:
        raise ConfigError(
            f"{source}: {config.data} holds other images or labels than the run began with "
            f"({len(dataset.images):,} images, before {saved.dataset.num_images:,}); bring those back, "
            "or say with --data where they are"
        )
    return dataset


def _console_of(ranks: Ranks, console: Console | None) -> Console:
    return console if console is not None and ranks.is_first else Console(quiet=True)
