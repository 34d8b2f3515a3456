"""The command `ganserve bench client`."""

from __future__ import annotations

import os
import statistics
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from ganserve.client.benchmark import BATCHES, LOADER, PLAIN, ClientSpeed, Measurement, Settings
from ganserve.console import open_console
from ganserve.contract.bounds import Bounds
from ganserve.contract.extras import install_advice
from ganserve.contract.measurements import Spread
from ganserve.contract.text import counted
from ganserve.flags import Count, Rounds, Seconds, Workers, check_output_files, within

from .access import AccessFlags
from .measuring import measure, open_only_server, tell_missing, write_figures
from .source import show_waiting


def bench_client(
    address: str,
    *,
    model: str,
    size: Count = 64,
    prefetch: Annotated[int, within(Bounds(1, 256))] = 2,
    workers: Workers = 2,
    rounds: Rounds = 5,
    seconds: Seconds = 1.0,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
    timeout: Seconds = 30.0,
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
        model: Name of the model, name:version as `ganserve models` lists them, or name:alias.
        size: Samples a request and a batch.
        prefetch: Batches ahead, of Client.batches and of each worker.
        workers: Processes of the DataLoader; 0 for none, and at most two a core.
        rounds: Turns of each way.
        seconds: Length of a turn.
        json_file: File for all figures, as JSON. A folder that is not there is made.
        timeout: Most seconds to wait for a server.
    """
    show_waiting()
    check_output_files({"--json": json_file})
    settings = Settings(size=size, prefetch=prefetch, num_workers=workers, num_rounds=rounds, turn_s=seconds)

    def report(speed: ClientSpeed) -> None:
        _print_table(speed, open_console())
        if json_file is not None:
            write_figures(speed.to_dict(), json_file)

    with open_only_server(address, model, timeout_s=timeout, access=access) as (client, route):
        measure(lambda on_progress: Measurement(client, route, settings, on_progress), report)


def _print_table(speed: ClientSpeed, console: Console) -> None:
    _say(console, "; ".join(_facts(speed)))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for heading in ("samples/s", f"of {PLAIN}", f"of {BATCHES}"):
        table.add_column(heading, justify="right")
    for way, rates in speed.samples_per_s.items():
        if rates:
            of_plain = "" if way == PLAIN else _median(speed.ratio(way, PLAIN))
            of_batches = _median(speed.ratio(way, BATCHES)) if way == LOADER else ""
            table.add_row(way, f"{statistics.median(rates):,.0f}", of_plain, of_batches)
    console.print(table)
    if speed.p50_ms:
        median, late = Spread.of(speed.p50_ms), Spread.of(speed.p99_ms)
        _say(console, f"A call for one sample takes {median:.1f} ms; 99 of 100 take at most {late:.1f} ms.")
    if not speed.has(LOADER):
        _say(console, f"There is no {LOADER} without PyTorch, which is not installed; {install_advice('torch')}")
    if missing := tell_missing(speed):
        _say(console, missing)


def _median(ratio: Spread | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def _say(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, highlight=False, markup=False)


def _facts(speed: ClientSpeed) -> list[str]:
    settings = speed.settings
    return [
        f"{speed.model} from {counted(os.cpu_count() or 1, 'core')} here",
        f"{counted(settings.size, 'sample')} a request",
        f"{speed.num_in_flight} {PLAIN} at a time",
        f"prefetch {settings.prefetch}",
        f"{counted(settings.num_workers, 'worker')} of the {LOADER}",
        f"medians and ranges of {counted(settings.num_rounds, 'round')}",
    ]
