"""What metrics cost: the server as it is, against one that counts nothing.

    python benchmarks/counting.py

Callers ask both for single samples of a tiny model, in turns of a closed loop, since counting costs most where a call
does little else. What counts is the CPU time of the server for a call: on a machine that the load shares it varies less
than the rate does, which is shown too.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.progress import track
from rich.table import Table

from command import run
from ganserve import cli
from ganserve.client.benchmark.load import LoadGenerator, RequestKind
from ganserve.client.benchmark.server.process import ServerProcess
from ganserve.console import open_console
from ganserve.contract.measurements import Spread
from ganserve.flags import Count, Rounds, Seconds
from ganserve.serving import metrics, tallies
from ganserve.v1.generator_pb2 import ModelSelector
from servers import Server, export_untrained, serving

SHAPE, WIDTH = (32, 32, 1), 8
UNCOUNTED = "--uncounted"


def main(*, rounds: Rounds = 15, callers: Count = 64, seconds: Seconds = 1.5) -> None:
    """Measure a server with and without metrics, and print a table.

    Args:
        rounds: Turns of each server.
        callers: Callers at once.
        seconds: Length of a turn.
    """
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        export_untrained(Path(folder), "tiny", SHAPE, width=WIDTH)
        uncounted = stack.enter_context(serving(Path(folder), program=(sys.executable, __file__, UNCOUNTED)))
        counted = stack.enter_context(serving(Path(folder)))
        turns = [stack.enter_context(taking_turns(server, callers, seconds)) for server in (uncounted, counted)]
        for turn in turns:
            next(turn)  # warms up
        measured = [[next(turn) for turn in turns] for _ in track(range(rounds), "measuring", transient=True)]
    table = Table("", "without metrics", "with", "ratio", title=f"{callers} callers of single samples", box=None)
    for name, place in (("calls/s", 0), ("CPU of the server, µs a call", 1)):
        without, with_metrics = ([of_round[server][place] for of_round in measured] for server in (0, 1))
        ratio = Spread.of_ratios(with_metrics, without)
        table.add_row(name, f"{Spread.of(without):,.0f}", f"{Spread.of(with_metrics):,.0f}", f"{ratio:.3f}")
    open_console().print(table)


@contextmanager
def taking_turns(server: Server, callers: int, seconds: float) -> Iterator[Iterator[tuple[float, float]]]:
    """Turns of a closed loop: calls a second, and CPU microseconds of the server for each."""
    generator, process = LoadGenerator(server.address), ServerProcess(server.pid)
    kind = RequestKind(model=ModelSelector(name="tiny"), num_samples=1)

    def turns() -> Iterator[tuple[float, float]]:
        while True:
            before_s = process.cpu_s()
            outcomes = generator.closed_loop(kind, num_callers=callers, turn_s=seconds)
            yield outcomes.calls_per_s, (process.cpu_s() - before_s) / outcomes.num_calls * 1e6

    try:
        yield turns()
    finally:
        generator.close()


def serve_uncounted(words: list[str]) -> int:
    """`ganserve serve` whose numbers never change, and are looked up by nobody."""
    nothing = tallies.Count()
    tallies.Count.add = lambda *_: None  # type: ignore[method-assign]
    tallies.Histogram.observe = lambda *_: None  # type: ignore[method-assign]
    tallies.CountFamily.child = lambda *_: nothing  # type: ignore[method-assign]
    metrics.ModelMetrics.count_rows = lambda *_: None  # type: ignore[method-assign]
    return cli.main(words)


if __name__ == "__main__":
    if sys.argv[1:2] == [UNCOUNTED]:
        sys.exit(serve_uncounted(sys.argv[2:]))
    run(main)
