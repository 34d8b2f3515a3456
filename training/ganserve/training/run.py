"""A run from its config to its last checkpoint: `training_from_config` starts one, `resume_training` goes on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from ganserve.contract.errors import ConfigError
from ganserve.v1.model_pb2 import ModelCard

from . import checkpoint
from .config import TrainingConfig
from .datasets import ImageDataset, Resize, absolute, load, refuse_inside
from .device import choose_device
from .interrupt import StopSignal
from .ranks import Ranks
from .rundir import RunDir
from .session import RunSummary, Session

MAY_CHANGE = frozenset(
    {
        "data",
        "out",
        "steps",
        "device",
        "evaluate_every",
        "patience",
        "report_every",
        "sample_every",
        "checkpoint_every",
    }
)
"""Settings that a resumed run may have other values of. The images themselves may not change, wherever they lie."""


def training_from_config(config: TrainingConfig, *, console: Console | None = None) -> RunSummary:
    """Trains a new run in `config.out` and returns when it is done or a signal stops it; either way all is saved.

    `console` shows progress; None shows nothing. Raises ConfigError and DatasetError before anything is written, and
    DivergenceError where the run could not be kept finite; its last good checkpoint stays.
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
        session = Session.begin(config, dataset, device, ranks, console)
        with StopSignal(session.say_stopping) as stop:
            if ranks.is_first:
                RunDir.create(config)
            return session.run(stop)


def resume_training(run: Path, *, console: Console | None = None, **changes: Any) -> RunSummary:
    """Goes on with the run in folder `run` from its last checkpoint, as if it had never stopped.

    `changes` are settings of `TrainingConfig` by name. Those in `MAY_CHANGE` may differ from the run's own; `steps` is
    a new total. Raises ArtifactError for a run that cannot be read, and ConfigError where another setting or the images
    differ from those that it began with, or where there is nothing left to do.
    """
    ranks = Ranks.from_environment()
    console = _console_of(ranks, console)
    run_dir = RunDir.existing(run)
    saved = checkpoint.load(run_dir.checkpoint())
    config = dataclasses.replace(saved.config, **changes | {"out": run})
    _refuse_other_settings(config, saved.config)
    if config.steps != saved.config.steps and config.lr_schedule != "constant":
        raise ConfigError(
            f"--steps {config.steps}: the learning rates of {run} fall until step {saved.config.steps}, and another "
            "total would make them jump; start a new run with another --out"
        )
    if config.steps <= saved.step:
        raise ConfigError(
            f"--steps {config.steps}: {config.out} has done {saved.step} steps; give a larger total to go on"
        )
    config = dataclasses.replace(config, data=absolute(config.data))
    refuse_inside(run, config.data, "--resume")
    ranks.share_of(config.batch_size)
    device = choose_device(config.device, ranks)
    with ranks.joined(device):
        with ranks.one_of_each_machine_first():
            dataset = load_same_dataset(config, saved.card, console, source=f"--resume {run}")
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
    """The images that a run began with. Raises ConfigError where they are gone or others; `source` is for messages."""
    try:
        dataset = load_dataset(config, console)
    except ConfigError as error:
        raise ConfigError(
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
