"""Writes docs/benchmarks.md: what the benchmarks of the server print, and the machine that they ran on.

    python benchmarks/report.py
    python benchmarks/report.py --parts startup,replies     # measures these again, and keeps the others as they were

Takes an hour for all parts. What a part printed is kept in docs/benchmarks/, as are the plots.
"""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from command import run
from ganserve.contract.errors import ConfigError
from servers import export_untrained, serving

DOCS = Path(__file__).resolve().parents[1] / "docs"
KEPT = DOCS / "benchmarks"
HEAD = """# Benchmarks

Every figure is from one run of a command on the machine that is named with it, with server and load on the same cores.
What to compare are ratios within one table: machines differ, and so do the hours of a day. `make bench-report` ran the
commands and wrote this page; [serving.md](serving.md#measure-it) says how to read the tables. All models are
untrained, since speed does not depend on what weights have learnt: `make bench-report` exports and serves the model
`dcgan`, the other commands make their own. There is no GPU in the machine, so onnxruntime-gpu runs on the CPU. What a
server does under overload and other harm is in [reliability.md](reliability.md).
"""


@dataclass(frozen=True)
class Part:
    """A section of the page.

    Attributes:
        title: its heading.
        told: what stands between heading and table.
        command: prints the table; `SERVER` and `PID` stand for a server of the model.
        model: shape and width of an untrained DCGAN that is served meanwhile, or None for no server.
        plot: whether the command draws a picture.
    """

    title: str
    told: str
    command: str
    model: tuple[tuple[int, int, int], int] | None = None
    plot: bool = False


BENCH_SERVER = "ganserve bench server SERVER --model dcgan --server-pid PID"
PARTS = {
    "small": Part(
        "A model of tiny images",
        "DCGAN of 32×32 grey pixels, width 8, where the call is most of the cost.",
        BENCH_SERVER,
        ((32, 32, 1), 8),
        plot=True,
    ),
    "large": Part(
        "A model whose arithmetic counts",
        "DCGAN of 64×64 RGB pixels, width 24; requests of the open loop are for 8 images.",
        f"{BENCH_SERVER} --size 8",
        ((64, 64, 3), 24),
        plot=True,
    ),
    "startup": Part(
        "Start and memory", "Servers of a model of 0.7 MB and of one of 13 MB.", "python benchmarks/startup.py"
    ),
    "batching": Part(
        "What batches and lanes bring",
        "The server against itself with one lane and one row a run, 32×32 RGB pixels, width 64.",
        "python benchmarks/serving.py",
    ),
    "replies": Part(
        "Replies that cost nothing to make",
        "Streams of 1, 8 and 32 MiB of samples of 256×256 RGB pixels, from a server that remembers its images.",
        "python benchmarks/replies.py",
    ),
    "peers": Part(
        "Beside others, tiny images",
        "The same ONNX file on servers of other makers, each alone with ours while it is measured: DCGAN of 32×32 grey "
        "pixels, width 8.",
        "python benchmarks/peers.py",
    ),
    "peers-large": Part(
        "Beside others, larger images",
        "The same with a DCGAN of 64×64 RGB pixels, width 24.",
        "python benchmarks/peers.py --shape 64 64 3 --width 24",
    ),
}


def main(*, parts: str = ",".join(PARTS)) -> None:
    """Run the benchmarks, and write the page.

    Args:
        parts: Those to measure, with commas between them.
    """
    names = [name for name in parts.split(",") if name]
    if unknown := set(names) - set(PARTS):
        raise ConfigError(f"--parts has {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    KEPT.mkdir(exist_ok=True)
    for name in names:
        Console(stderr=True).print(f"{name}: {PARTS[name].command}", highlight=False)
        kept_file(name).write_text(f"{machine()}\n{measure(name, PARTS[name])}", encoding="utf-8")
    sections = [section(name, part) for name, part in PARTS.items() if kept_file(name).exists()]
    (DOCS / "benchmarks.md").write_text("\n".join([HEAD, *sections]), encoding="utf-8")


def measure(name: str, part: Part) -> str:
    """What the command of a part prints."""
    command = part.command.split()
    command[:1] = [sys.executable, "-m", "ganserve.cli"] if command[0] == "ganserve" else [sys.executable]
    if part.plot:
        command += ["--plot", str(plot_file(name))]
    if part.model is None:
        return printed(command)
    with tempfile.TemporaryDirectory() as models:
        shape, width = part.model
        export_untrained(Path(models), "dcgan", shape, width=width)
        with serving(Path(models)) as server:
            known = {"SERVER": server.address, "PID": str(server.pid)}
            return printed([known.get(word, word) for word in command])


def printed(command: list[str]) -> str:
    """What a command prints on a wide terminal. Raises ConfigError where it fails."""
    done = subprocess.run(command, env={**os.environ, "COLUMNS": "150"}, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise ConfigError(f"`{' '.join(command)}` failed with exit code {done.returncode}")
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines()) + "\n"


def machine() -> str:
    """Where and when a part was measured."""
    cpu_info = Path("/proc/cpuinfo")
    lines = cpu_info.read_text().splitlines() if cpu_info.exists() else ()
    cpu = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    versions = ", ".join(f"{name} {version(name)}" for name in ("onnxruntime-gpu", "grpcio", "numpy"))
    today = datetime.datetime.now(tz=datetime.UTC).date()
    return f"{os.cpu_count()} cores ({cpu}), Python {platform.python_version()}, {versions}; {today}"


def section(name: str, part: Part) -> str:
    """A part's heading, command, picture and table."""
    where, _, table = kept_file(name).read_text(encoding="utf-8").partition("\n")
    picture = f"![]({plot_file(name).relative_to(DOCS)})\n\n" if part.plot else ""
    return f"## {part.title}\n\n{part.told} `{part.command}`\n\n{where}\n\n{picture}```text\n{table}```\n"


def kept_file(name: str) -> Path:
    """Where what a part printed is kept."""
    return KEPT / f"{name}.txt"


def plot_file(name: str) -> Path:
    """Where the picture of a part is drawn."""
    return KEPT / f"{name}.svg"


if __name__ == "__main__":
    run(main)
