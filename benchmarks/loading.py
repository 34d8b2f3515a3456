"""How long callers wait while a large model is loaded beside the one that they use.

    python benchmarks/loading.py

Callers in a process of their own ask a server for single samples of a small model, one after the other. A model of
about 200 MB is put into the server's folder, loaded by `ganserve admin`, and unloaded. What counts is the longest call
and the longest time without any reply, while nothing is loaded and while the large model is. Weights are untrained:
they take as long as others.
"""

from __future__ import annotations

import itertools
import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from command import run
from findings import Finding
from ganserve.client import Client
from ganserve.client._transport.access import NO_ACCESS
from ganserve.client._transport.administrator import Administrator
from ganserve.contract.bundle import MODEL_FILE
from ganserve.flags import Count, Rounds, Seconds
from servers import export_untrained, serving

LARGE_SHAPE, LARGE_WIDTH = (32, 32, 3), 270
SMALL_SHAPE, SMALL_WIDTH = (32, 32, 1), 8
LOAD_TIMEOUT_S = 600.0

Calls = list[tuple[float, float]]
"""When each call began and was answered, by the machine's monotonic clock."""


@dataclass(frozen=True)
class Round:
    """The calls while nothing was loaded and while the large model was, and how long that took."""

    quiet: Calls
    loading: Calls
    load_s: float


class Measured(NamedTuple):
    """All rounds, and the size of the model that was loaded."""

    size_mb: float
    rounds: list[Round]


def main(*, rounds: Rounds = 5, callers: Count = 4, seconds: Seconds = 3.0) -> None:
    """Load a large model again and again beside callers, and print a table.

    Args:
        rounds: Loads.
        callers: Callers at once.
        seconds: Length of what is measured without a load, each round.
    """
    measured = measure(rounds, callers, seconds)
    show(measured, callers)


def loading() -> Iterator[Finding]:
    """What callers notice of loads, for `faults.py`."""
    callers = 4
    measured = measure(rounds=5, callers=callers, seconds=3.0)
    gaps_ms = [longest_gap_ms(one.loading) for one in measured.rounds]
    yield Finding(
        fault=f"a model of {measured.size_mb:.0f} MB is loaded, {len(gaps_ms)} times",
        load=f"{callers} callers of single samples of a small one",
        expected="the longest time without any reply is at most 100 ms",
        seen=f"{max(gaps_ms):.0f} ms; {statistics.median(gaps_ms):.0f} ms in the median load",
        shown_by="python benchmarks/loading.py",
        is_met=max(gaps_ms) <= 100,
    )


def measure(rounds: int, callers: int, seconds: float) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        models, aside = Path(folder) / "models", Path(folder) / "aside"
        export_untrained(models, "small", SMALL_SHAPE, width=SMALL_WIDTH)
        export_untrained(aside, "large", LARGE_SHAPE, width=LARGE_WIDTH)
        size_mb = (aside / "large" / "1" / MODEL_FILE).stat().st_size / 1e6
        with serving(models, "--allow-admin", "--device", "cpu", "--linger-s", "0") as server:
            (aside / "large").rename(models / "large")
            with Administrator(server.address, NO_ACCESS, LOAD_TIMEOUT_S) as administrator:
                taken = [measure_round(server.address, administrator, callers, seconds) for _ in range(rounds)]
    return Measured(size_mb, taken)


def measure_round(address: str, administrator: Administrator, callers: int, seconds: float) -> Round:
    with calling(address, callers) as finish:
        time.sleep(seconds)
        start_s = time.monotonic()
        administrator.load("large", 1)
        end_s = time.monotonic()
        calls = finish()
    administrator.unload("large", 1)
    # A call that the load began or ended in belongs to it.
    loading = [call for call in calls if call[1] >= start_s and call[0] <= end_s]
    quiet = [call for call in calls if call[1] < start_s]
    return Round(quiet=quiet, loading=loading, load_s=end_s - start_s)


@contextmanager
def calling(address: str, callers: int) -> Iterator[Callable[[], Calls]]:
    """Callers who ask until what is given here is called, which returns their calls."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=call_until_told, args=(address, callers, theirs))
    process.start()
    ours.recv()

    def finish() -> Calls:
        ours.send(None)
        calls: Calls = ours.recv()
        return calls

    try:
        yield finish
    finally:
        process.terminate()
        process.join()


def call_until_told(address: str, callers: int, told: Connection) -> None:
    """Runs in a process of its own."""
    calls: Calls = []
    over = threading.Event()

    def call() -> None:
        with Client(address, model="small") as client:
            client.generate(1, seed=1)
            while not over.is_set():
                start_s = time.monotonic()
                client.generate(1, seed=1)
                calls.append((start_s, time.monotonic()))

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    while not calls:
        time.sleep(0.01)
    told.send(None)
    told.recv()
    over.set()
    for thread in threads:
        thread.join()
    told.send(calls)


def longest_call_ms(calls: Calls) -> float:
    return max(end_s - start_s for start_s, end_s in calls) * 1e3


def longest_gap_ms(calls: Calls) -> float:
    ends_s = sorted(end_s for _, end_s in calls)
    return max(after_s - before_s for before_s, after_s in itertools.pairwise(ends_s)) * 1e3


def show(measured: Measured, callers: int) -> None:
    loads = ", ".join(f"{one.load_s:.1f}" for one in measured.rounds)
    table = Table(
        title=f"{callers} callers beside loads of {measured.size_mb:.0f} MB, which took {loads} s; ms", box=None
    )
    for title in ("round", "longest call", "longest gap", "longest call, loading", "longest gap, loading"):
        table.add_column(title, justify="right")
    for number, one in enumerate(measured.rounds, 1):
        figures = [
            longest(calls) for calls in (one.quiet, one.loading) for longest in (longest_call_ms, longest_gap_ms)
        ]
        table.add_row(str(number), *(f"{figure:.1f}" for figure in figures))
    Console().print(table)


if __name__ == "__main__":
    run(main)
