"""How soon a server serves, and how much memory it takes.

    python benchmarks/startup.py

Servers of a small and of a larger model start in turns, each in a process of its own, on files that are in the system's
cache. Time counts from the launch of the process. Memory is read from /proc, so on Linux alone: what is resident (RSS),
and the same with shared pages divided among those that share them (PSS), after the first image and after a load. Speed
does not depend on what the weights have learnt.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from command import run
from ganserve.client import Client
from ganserve.client.benchmark.load import LoadGenerator, RequestKind
from ganserve.contract.bundle import MODEL_FILE
from ganserve.contract.errors import ConfigError
from ganserve.contract.measurements import Spread
from ganserve.flags import Rounds, Seconds
from servers import export_untrained, serving

MODELS = {"small": ((32, 32, 1), 8), "larger": ((64, 64, 3), 40)}


@dataclass(frozen=True)
class Start:
    """One start of a server. Seconds from the launch, and MB."""

    serving_s: float
    first_image_s: float
    rss_mb: float
    pss_mb: float
    loaded_rss_mb: float
    loaded_pss_mb: float


def main(*, rounds: Rounds = 5, seconds: Seconds = 2.0) -> None:
    """Start servers, and print a table.

    Args:
        rounds: Starts of each.
        seconds: Length of the load, before memory is read again.
    """
    if not Path("/proc/self/smaps_rollup").exists():
        raise ConfigError("memory is read from /proc/PID/smaps_rollup, which this system does not have")
    with tempfile.TemporaryDirectory() as folder:
        files_mb = dict(export_all(Path(folder)))
        starts: dict[str, list[Start]] = {name: [] for name in MODELS}
        for number in track(range(rounds + 1), "measuring", transient=True):
            for name, found in starts.items():
                start = start_server(Path(folder) / name, name, seconds)
                if number:  # the first round fills the system's cache
                    found.append(start)
    show(starts, files_mb)


def export_all(folder: Path) -> Iterator[tuple[str, float]]:
    """Exports every model into a folder of its own; gives names and the sizes of their files in MB."""
    for name, (shape, width) in MODELS.items():
        export_untrained(folder / name, name, shape, width=width)
        yield name, (folder / name / name / "1" / MODEL_FILE).stat().st_size / 1e6


def start_server(models: Path, name: str, load_s: float) -> Start:
    launch_s = time.perf_counter()
    with serving(models) as server:
        serving_s = time.perf_counter() - launch_s
        with Client(server.address, model=name) as client:
            client.generate(1, seed=1)
            first_image_s = time.perf_counter() - launch_s
            identity = client.get_model().identity
        idle = memory_mb(server.pid)
        with closing(LoadGenerator(server.address)) as generator:
            for num_callers, num_samples in ((64, 1), (4, 64)):
                kind = RequestKind.of(identity, num_samples)
                generator.closed_loop(kind, num_callers=num_callers, turn_s=load_s / 2)
        return Start(serving_s, first_image_s, *idle, *memory_mb(server.pid))


def memory_mb(pid: int) -> tuple[float, float]:
    """RSS and PSS of a process."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    kib = {line.partition(":")[0]: line.split()[1] for line in lines[1:]}
    return int(kib["Rss"]) * 1024 / 1e6, int(kib["Pss"]) * 1024 / 1e6


def show(starts: dict[str, list[Start]], files_mb: dict[str, float]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for name in starts:
        shape, width = MODELS[name]
        shown = "×".join(map(str, shape))
        table.add_column(f"{name}: DCGAN {shown}, width {width}, {files_mb[name]:.1f} MB", justify="right")
    for heading, field, form in (
        ("until it serves, s", "serving_s", ".2f"),
        ("until the first image, s", "first_image_s", ".2f"),
        ("RSS after it, MB", "rss_mb", ".0f"),
        ("PSS after it, MB", "pss_mb", ".0f"),
        ("RSS after a load, MB", "loaded_rss_mb", ".0f"),
        ("PSS after a load, MB", "loaded_pss_mb", ".0f"),
    ):
        spreads = [Spread.of([getattr(start, field) for start in found]) for found in starts.values()]
        table.add_row(heading, *(f"{spread:{form}}" for spread in spreads))
    Console().print(table)


if __name__ == "__main__":
    run(main)
