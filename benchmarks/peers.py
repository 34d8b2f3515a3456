"""The server beside others, which serve the same ONNX file.

    python benchmarks/peers.py
    python benchmarks/peers.py --shape 64 64 3 --width 24 --rounds 5 --json peers.json
    python benchmarks/peers.py --peers pytriton,threads --seconds 1

Each of the others runs in an environment of its own under build/peers, made of the packages that
benchmarks/peer_servers/requirements pins, and is alone with ours while it is measured. Of each load it takes a turn,
and ours takes one beside it by each way of asking; ratios are between turns that followed each other. Load and
servers share the machine, and all are asked at 127.0.0.1, though Ray listens on the machine's other addresses, too.
Before they are measured, all must give the images of one request right. The images are those of the latents in the
request; ours is asked so, too, and by address, which is how its client asks, and with calls that travel together.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from command import run
from ganserve.client.cli.measuring import write_figures
from ganserve.contract.bounds import Bounds
from ganserve.contract.card import MAX_IMAGE_SIDE
from ganserve.contract.errors import ConfigError
from ganserve.contract.measurements import Spread
from ganserve.flags import Rounds, Seconds, check_output_files, within
from peer_loads.comparison import OURS, PEERS, Comparison
from peer_loads.contest import Contest, compare
from servers import export_untrained

BUILD = Path(__file__).resolve().parents[1] / "build" / "peers"
WIDTHS: Final = Bounds(1, 1_024)
LEAST_WIDTH = 140
"""Of what is printed to a file."""


def main(
    *,
    peers: str = ",".join(PEERS),
    shape: Annotated[tuple[int, int, int], within(Bounds(1, MAX_IMAGE_SIDE))] = (32, 32, 1),
    width: Annotated[int, within(WIDTHS)] = 8,
    rewritten: Annotated[bool, Parameter(negative="")] = False,
    rounds: Rounds = 3,
    seconds: Seconds = 3.0,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Measure an untrained DCGAN on each server.

    Parameters
    ----------
    peers
        The others, with commas between them.
    shape
        Height, width and channels of the images.
    width
        Width of the generator.
    rewritten
        Whether layers are in the form that the export gives them for a CPU, and not as PyTorch has them.
    rounds
        Turns of each load on each server.
    seconds
        Length of a turn.
    json_file
        File to write all figures to.
    """
    names = [name for name in peers.split(",") if name]
    if unknown := set(names) - set(PEERS):
        raise ConfigError(f"--peers has {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    if shape[2] not in (1, 3):
        raise ConfigError(f"--shape {' '.join(map(str, shape))}: give 1 channel or 3")
    check_output_files({"--json": json_file})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        export_untrained(folder, "generator", shape, width=width, device="cpu" if rewritten else "cuda")
        progress = stack.enter_context(Progress(console=Console(stderr=True), transient=True))
        task = progress.add_task("")
        contest = Contest(models=folder, build=BUILD, peers=names, num_rounds=rounds, turn_s=seconds)
        found = compare(
            contest,
            lambda done, total, doing: progress.update(task, completed=done, total=total, description=doing),
        )
    graph = "with the export's rewrites" if rewritten else "as PyTorch has it"
    title = f"DCGAN of {'×'.join(map(str, shape))}, width {width}, {graph}; {os.cpu_count()} cores"
    if json_file:
        write_figures({"title": title, **found.to_dict()}, json_file)
    show(found, title)


def show(found: Comparison, title: str) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, LEAST_WIDTH)
    limit = statistics.median(found.limits)
    console.print(f"{title}\nlimit in one process: {Spread.of(found.limits):,.0f} images/s", highlight=False)
    for load in found.loads:
        table = columns(load.name, "images/s", "of the limit", "p50 ms", "p99 ms", *(f"{way} ÷ it" for way in OURS))
        for name in found.contestants(load):
            rates = [figures.images_per_s for figures in found.figures(load, name)]
            table.add_row(
                name if name in found.peers else f"ours, {name}",
                f"{Spread.of(rates):,.0f}",
                f"{statistics.median(rates) / limit:.2f}",
                *(f"{statistics.median(found.waits_ms(load, name, which)):.2f}" for which in ("p50_ms", "p99_ms")),
                *(f"{ratio:.2f}" if (ratio := found.ratio(load, way, name)) else "" for way in OURS),
            )
        console.print(table)
    table = columns("all processes", "most memory, MB", "seconds from start to first image")
    for name in ("ours", *found.peers):
        cells = (found.resident_mb[name], found.start_s[name])
        table.add_row(name, *(f"{Spread.of(values):,.{digits}f}" for values, digits in zip(cells, (0, 1), strict=True)))
    console.print(table)


def columns(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(f"\n{first}")
    for heading in others:
        table.add_column(f"\n{heading}", justify="right")
    return table


if __name__ == "__main__":
    run(main)
