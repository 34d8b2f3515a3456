"""How long OpenMP's threads should wait in a loop for each other before they sleep: training speed for some settings.

    python benchmarks/threads.py
    python benchmarks/threads.py --preset sndcgan --size 28 --channels 1 --rounds 9

On a machine that has nothing else to do, a thread that waits in a loop is quickest. Where something else keeps a core
busy, it uses up the time that the thread it waits for needs. So each setting is measured twice: as the machine is, and
with one core kept busy. Settings take turns, each in a process of its own, because OpenMP reads them when it is loaded.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from rich.console import Console
from rich.progress import track
from rich.table import Table

from command import run
from ganserve.contract.errors import GanserveError
from ganserve.exporter.benchmark import Spread
from ganserve.flags import Count, Rounds
from ganserve.training.datasets import Resize
from training_loops.task import config_of

SETTINGS: dict[str, dict[str, str]] = {
    "as OpenMP has it": {},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
    **{f"GOMP_SPINCOUNT={count}": {"GOMP_SPINCOUNT": count} for count in ("300", "1000", "3000", "10000")},
}
NUM_WARM_UP_STEPS = 5
WORKER = "--worker"


def main(
    *,
    preset: str = "sndcgan",
    size: Count = 32,
    channels: Literal[1, 3] = 3,
    batch_size: Count = 64,
    steps: Count = 20,
    rounds: Rounds = 5,
) -> None:
    """Measure each setting on a quiet and on a busy machine.

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
        Measured steps of each turn.
    rounds
        Turns of each setting.
    """
    config_of(preset), Resize.parse(str(size))
    console = Console()
    arguments = [preset, *map(str, (size, channels, batch_size, steps))]
    found: dict[tuple[str, bool], list[float]] = {(name, busy): [] for name in SETTINGS for busy in (False, True)}
    load_before = os.getloadavg()[0]
    turns = [(number, busy, name) for number in range(rounds) for busy in (False, True) for name in in_order(number)]
    for _, busy, name in track(turns, console=Console(stderr=True), transient=True):
        with core_kept_busy(busy):
            found[name, busy].append(measured(arguments, SETTINGS[name]))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("setting", "images/s, quiet", "one core busy"):
        table.add_column(column, justify="left" if column == "setting" else "right")
    for name in SETTINGS:
        table.add_row(name, *(f"{Spread.of(found[name, busy]):,.0f}" for busy in (False, True)))
    console.print(
        f"{preset}, {size}×{size}×{channels}, batches of {batch_size}, {os.cpu_count()} cores; load before: "
        f"{load_before:.1f}, after: {os.getloadavg()[0]:.1f}",
        highlight=False,
    )
    console.print(table)


def in_order(number: int) -> list[str]:
    """The settings, the other way round in every second round."""
    return list(SETTINGS) if number % 2 == 0 else list(reversed(SETTINGS))


@contextmanager
def core_kept_busy(is_wanted: bool) -> Iterator[None]:
    """Has a process of its own turn round on the last core, where it may choose one."""
    if not is_wanted:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
        yield
    finally:
        process.kill()
        process.wait()


def measured(arguments: list[str], environment: dict[str, str]) -> float:
    """Images/s that a process of its own trains with. Raises GanserveError where it fails."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    done = subprocess.run(
        [sys.executable, __file__, WORKER, *arguments],
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise GanserveError((done.stderr.strip().splitlines() or ["it ended without a word"])[-1])
    return float(done.stdout)


def work(preset: str, size: int, channels: int, batch_size: int, num_steps: int) -> None:
    """Trains for some steps, and prints images/s."""
    import torch

    from ganserve.training.batches import Batches
    from ganserve.training.card import build_card
    from ganserve.training.loop import train
    from ganserve.training.state import TrainingState
    from training_loops.task import random_images

    config = dataclasses.replace(config_of(preset), batch_size=batch_size)
    dataset, device = random_images(size, channels, batch_size), torch.device("cpu")
    state = TrainingState.fresh(config, build_card(config, dataset), device)
    batches = Batches.of(dataset, conditional=True, seed=0, device=device)
    start_s = 0.0
    for end in (NUM_WARM_UP_STEPS, NUM_WARM_UP_STEPS + num_steps):
        start_s = time.perf_counter()
        until = dataclasses.replace(config, steps=end)
        train(state, batches, until, after_step=lambda _: None, should_stop=lambda: False)
    images_per_step = batch_size * config.num_discriminator_steps
    print(images_per_step * num_steps / (time.perf_counter() - start_s))


if __name__ == "__main__":
    if sys.argv[1:2] == [WORKER]:
        work(sys.argv[2], *map(int, sys.argv[3:]))
    else:
        run(main)
