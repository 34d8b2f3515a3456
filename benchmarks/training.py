"""What our training loop is faster by: against a plain one, and against itself with one measure left out.

    python benchmarks/training.py
    python benchmarks/training.py --preset hinge-resnet --size 64 --rounds 9

The plain loop trains the same networks in the way of PyTorch's DCGAN example, on random images. All take turns; keep
the machine quiet meanwhile.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from command import run
from ganserve.flags import Count, Rounds
from ganserve.training.config import DeviceName
from training_loops import TrainingSpeed, measure
from training_loops.task import config_of, random_images


def main(
    *,
    preset: str = "dcgan",
    size: Count = 32,
    channels: Literal[1, 3] = 3,
    batch_size: Count = 64,
    steps: Count = 40,
    rounds: Rounds = 5,
    device: DeviceName = "auto",
) -> None:
    """Measure the speed of training, beside a plain loop.

    Parameters
    ----------
    preset
        Networks and settings, as for `ganserve train`.
    size
        Side of the images in pixels.
    channels
        1 for greyscale, 3 for colour.
    batch_size
        Images a step.
    steps
        Measured steps of each loop in a round; a few more warm up.
    rounds
        Turns of each loop.
    device
        Where to train. `auto` is CUDA where there is one, else the CPU.
    """
    config = dataclasses.replace(config_of(preset), batch_size=batch_size, device=device)
    dataset = random_images(size, channels, batch_size)
    with progress() as on_progress:
        speed = measure(config, dataset, preset=preset, num_steps=steps, num_rounds=rounds, on_progress=on_progress)
    print_table(speed, Console())


@contextmanager
def progress() -> Iterator[Callable[[int, int], None]]:
    """A bar that is drawn between turns only, so that it takes nothing from those who have theirs."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, auto_refresh=False, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("measuring", total=None)
        yield lambda num_done, total: bar.update(task, completed=num_done, total=total, refresh=True)


def print_table(speed: TrainingSpeed, console: Console) -> None:
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


if __name__ == "__main__":
    run(main)
