"""`ganserve bench train`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ganserve.contract.errors import ConfigError
from ganserve.training.benchmark import TrainingSpeed, measure
from ganserve.training.config import DeviceName, TrainingConfig
from ganserve.training.datasets import ImageDataset, Resize
from ganserve.training.presets import preset_path, read_settings
from ganserve.training.run import load_dataset

_NUM_CLASSES = 10
_MOST_RANDOM_IMAGES = 50_000
_MOST_RANDOM_BYTES = 2**28


def bench_train(
    *,
    preset: str = "dcgan",
    size: int = 32,
    channels: Literal[1, 3] = 3,
    batch_size: int = 64,
    steps: int = 40,
    rounds: int = 5,
    device: DeviceName = "auto",
    data: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Measure the speed of training, beside a plain loop.

        ganserve bench train --preset dcgan

    The plain loop trains the same networks in the way of PyTorch's DCGAN example. Further lines change one thing each,
    to show what it brings. All take turns; keep the machine quiet meanwhile.

    Parameters
    ----------
    preset
        Networks and settings, as for `ganserve train`.
    size
        Side of the images in pixels.
    channels
        1 for greyscale, 3 for colour. Images of --data have their own.
    batch_size
        Images a step.
    steps
        Measured steps of each loop in a round; a few more warm up.
    rounds
        Turns of each loop.
    device
        Where to train. `auto` is CUDA where there is one, else the CPU.
    data
        Images, as `ganserve train --data` takes them. Left out: random ones of 10 classes.
    as_json
        Print one JSON object in place of the table.
    """
    config = dataclasses.replace(
        _config_of(preset),
        data=data or "random",
        size=str(size),
        batch_size=batch_size,
        steps=steps,
        device=device,
    )
    messages = Console(stderr=True)
    dataset = load_dataset(config, messages) if data else _random_images(size, channels, batch_size)
    config = dataclasses.replace(config, conditional=config.conditional and dataset.num_classes > 0)
    with _progress(messages) as on_progress:
        speed = measure(config, dataset, preset=preset, num_rounds=rounds, on_progress=on_progress)
    if as_json:
        print(json.dumps(speed.to_dict()))
    else:
        _print_table(speed, Console())


def _config_of(preset: str) -> TrainingConfig:
    """The settings of a preset. Nothing is written, so the folder of the run is any. Raises ConfigError."""
    path = preset_path(preset)
    settings = {"data": "random", "out": Path(), **read_settings(path)}
    try:
        return TrainingConfig(**settings | {"betas": tuple(settings.get("betas", TrainingConfig.betas))})
    except TypeError as error:
        raise ConfigError(f"{path}: cannot be read as settings ({error})") from error


def _random_images(size: int, num_channels: int, batch_size: int) -> ImageDataset:
    """Seeded noise, as many images as a common dataset has, if they are small. Raises ConfigError for a bad size."""
    side = Resize.parse(str(size)).height
    num_images = min(_MOST_RANDOM_IMAGES, _MOST_RANDOM_BYTES // (side * side * num_channels))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (max(num_images, batch_size), side, side, num_channels), dtype=np.uint8)
    labels = np.arange(len(images), dtype=np.int64) % _NUM_CLASSES
    return ImageDataset(images, labels, tuple(map(str, range(_NUM_CLASSES))), "random")


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[int, int], None]]:
    """A bar that is drawn between turns only, so that it takes nothing from those who have theirs."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, auto_refresh=False, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("measuring", total=None)
        yield lambda num_done, total: progress.update(task, completed=num_done, total=total, refresh=True)


def _print_table(speed: TrainingSpeed, console: Console) -> None:
    height, width, num_channels = speed.shape
    facts = (
        f"{speed.preset}, {width}×{height}×{num_channels}, batches of {speed.batch_size}",
        f"{speed.device}, {speed.num_threads} CPU threads",
    )
    console.print("; ".join(facts), soft_wrap=True, highlight=False, markup=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("loop")
    table.add_column("images/s", justify="right")
    table.add_column("over the plain loop", justify="right")
    for name in speed.images_per_s:
        table.add_row(name, f"{speed.spread(name):,.0f}", f"{speed.ratio(name):.2f}")
    console.print(table)
    for line in (
        f"Medians and ranges; rounds: {speed.num_rounds}, steps in each: {speed.num_steps}.",
        f"Unlike the plain loop, ours {'; '.join(speed.differences)}.",
    ):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
