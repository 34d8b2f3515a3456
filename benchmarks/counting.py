"""What metrics cost: a server as it is, against itself while it counts nothing.

    python benchmarks/counting.py

Callers ask for single samples of a tiny model, in a closed loop, since counting costs most where a call does little
else. Every fraction of a second the server is told to count or not to, so that what else the machine does meets both
alike. What counts is the CPU time of the server for a call. The table tells how far the median ratio may be off, which
falls with the root of the rounds.
"""

from __future__ import annotations

import math
import os
import signal
import statistics
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Annotated

from rich.progress import track
from rich.table import Table

from command import run
from ganserve import cli
from ganserve.client.benchmark.load import LoadGenerator, RequestKind
from ganserve.console import open_console
from ganserve.contract.bounds import Bounds
from ganserve.contract.measurements import Spread
from ganserve.flags import Count, Seconds, within
from ganserve.serving import metrics, tallies
from ganserve.v1.generator_pb2 import ModelSelector
from servers import export_untrained, serving

SHAPE, WIDTH = (32, 32, 1), 8
TOGGLED = "--toggled"
WARM_UP_TURNS = 6


def main(
    *, rounds: Annotated[int, within(Bounds(2, 10_000))] = 150, callers: Count = 64, seconds: Seconds = 0.3
) -> None:
    """Measure a server with and without metrics, and print a table.

    Args:
        rounds: Turns with metrics, and as many without.
        callers: Callers at once.
        seconds: Length of a turn.
    """
    program = (sys.executable, __file__, TOGGLED)
    with tempfile.TemporaryDirectory() as folder:
        export_untrained(Path(folder), "tiny", SHAPE, width=WIDTH)
        with serving(Path(folder), program=program) as server, closing(LoadGenerator(server.address)) as generator:

            def turn() -> float:
                before_s = cpu_s(server.pid)
                kind = RequestKind(model=ModelSelector(name="tiny"), num_samples=1)
                outcomes = generator.closed_loop(kind, num_callers=callers, turn_s=seconds)
                took_s = cpu_s(server.pid) - before_s
                os.kill(server.pid, signal.SIGUSR1)  # from now on the other way
                return took_s / outcomes.num_calls * 1e6

            for _ in range(WARM_UP_TURNS):
                turn()
            pairs = [(turn(), turn()) for _ in track(range(rounds), "measuring", transient=True)]
    counting, not_counting = map(list, zip(*pairs, strict=True))
    ratios = [one / other for one, other in pairs]
    low, middle, high = statistics.quantiles(ratios, n=4)
    table = Table("", "without metrics", "with", "ratio", title=f"{callers} callers of single samples", box=None)
    told = f"{middle:.3f} (half of the pairs {low:.3f} to {high:.3f}; its own error {error_of(ratios):.3f})"
    table.add_row(
        "CPU of the server, µs a call", f"{Spread.of(not_counting):,.0f}", f"{Spread.of(counting):,.0f}", told
    )
    open_console().print(table)


def cpu_s(pid: int) -> float:
    """CPU seconds of all threads of a process, to the nanosecond; see proc_pid_schedstat(5)."""
    tasks = Path("/proc", str(pid), "task").glob("*/schedstat")
    return float(sum(int(task.read_text().split()[0]) for task in tasks)) / 1e9


def error_of(values: list[float]) -> float:
    """Standard error of their median, from the spread of the middle half (for a normal distribution)."""
    low, _, high = statistics.quantiles(values, n=4)
    return 1.2533 * (high - low) / 1.349 / math.sqrt(len(values))


def serve_toggled(words: list[str]) -> int:
    """`ganserve serve` that begins or ceases to count with every SIGUSR1."""
    nothing = tallies.Count()
    silent = {
        (tallies.Count, "add"): lambda *_: None,
        (tallies.Histogram, "observe"): lambda *_: None,
        (tallies.CountFamily, "child"): lambda *_: nothing,
        (metrics.ModelMetrics, "count_rows"): lambda *_: None,
    }
    as_it_is = {(kind, name): vars(kind).get(name) for kind, name in silent}
    counts = True

    def toggle(*_: object) -> None:
        nonlocal counts
        counts = not counts
        for (kind, name), method in (as_it_is if counts else silent).items():
            if method is None:
                delattr(kind, name)  # which it inherits
            else:
                setattr(kind, name, method)

    signal.signal(signal.SIGUSR1, toggle)
    return cli.main(words)


if __name__ == "__main__":
    if sys.argv[1:2] == [TOGGLED]:
        sys.exit(serve_toggled(sys.argv[2:]))
    run(main)
