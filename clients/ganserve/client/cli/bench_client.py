"""The command `ganserve bench client`."""

from __future__ import annotations

import os
import statistics
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from ganserve.client.benchmark import BATCHES, LOADER, PLAIN, ClientSpeed, Settings, measure
from ganserve.contract.extras import install_advice
from ganserve.contract.measurements import Spread

from .access import AccessFlags
from .measuring import open_only_server, write_figures
from .progress import showing_turns
from .source import show_waiting


def bench_client(
    address: str,
    *,
    model: str,
    size: int = 64,
    prefetch: int = 2,
    workers: int = 2,
    rounds: int = 5,
    seconds: float = 1.0,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
    timeout: float = 30.0,
    access: AccessFlags = None,
) -> None:
    """Measure how much of a server's speed arrives, by each way of asking.

    The ways take turns: plain requests, as many at a time as keep the server busy and with replies that nobody reads,
    which is what the server itself reaches; Client.batches; Client.stream; a DataLoader over a SyntheticDataset, where
    PyTorch is installed; and calls for one sample, one at a time. What a way needs to begin does not count. Keep the
    machine quiet meanwhile.

    Example: ganserve bench client 127.0.0.1:50051 --model digits

    Args:
        address: Address of the server, host:port.
        model: Name of the model, or name:version, as `ganserve models` lists them.
        size: Samples a request and a batch.
        prefetch: Batches ahead, of Client.batches and of each worker.
        workers: Processes of the DataLoader; 0 for none.
        rounds: Turns of each way.
        seconds: Length of a turn.
        json_file: File for all figures, as JSON.
        timeout: Most seconds to wait for a server.
    """
    show_waiting()
    settings = Settings(size=size, prefetch=prefetch, num_workers=workers, num_rounds=rounds, turn_s=seconds)
    with (
        open_only_server(address, model, timeout_s=timeout, access=access) as (client, route),
        showing_turns() as on_progress,
    ):
        speed = measure(client, route, settings, on_progress)
    _print_table(speed, Console())
    if json_file is not None:
        write_figures(speed.to_dict(), json_file)


def _print_table(speed: ClientSpeed, console: Console) -> None:
    console.print("; ".join(_facts(speed)), soft_wrap=True, highlight=False, markup=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for heading in ("samples/s", f"of {PLAIN}", f"of {BATCHES}"):
        table.add_column(heading, justify="right")
    for way, rates in speed.samples_per_s.items():
        of_plain = "" if way == PLAIN else f"{speed.ratio(way, PLAIN):.2f}"
        of_batches = f"{speed.ratio(way, BATCHES):.2f}" if way == LOADER else ""
        table.add_row(way, f"{statistics.median(rates):,.0f}", of_plain, of_batches)
    console.print(table)
    median, late = Spread.of(speed.p50_ms), Spread.of(speed.p99_ms)
    console.print(
        f"A call for one sample takes {median:.1f} ms; 99 of 100 take at most {late:.1f} ms.",
        soft_wrap=True,
        highlight=False,
    )
    if not speed.has(LOADER):
        console.print(
            f"There is no {LOADER} without PyTorch, which is not installed; {install_advice('torch')}",
            soft_wrap=True,
            highlight=False,
            markup=False,
        )


def _facts(speed: ClientSpeed) -> list[str]:
    settings = speed.settings
    return [
        f"{speed.model} from {os.cpu_count()} cores here",
        f"{settings.size} samples a request",
        f"{speed.num_in_flight} {PLAIN} at a time",
        f"prefetch {settings.prefetch}",
        f"{settings.num_workers} workers of the {LOADER}",
        f"medians and ranges of {settings.num_rounds} rounds",
    ]
