"""The command `ganserve bench server`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from ganserve.client.benchmark.server import LoadName, Settings, check_plot, measure, write_plot

from .access import AccessFlags
from .measuring import open_only_server, write_figures
from .progress import showing_turns
from .server_tables import print_tables
from .source import show_waiting


def bench_server(
    address: str,
    *,
    model: str,
    loads: Annotated[tuple[LoadName, ...], Parameter(consume_multiple=True, negative="", show_default=", ".join)] = (
        "closed",
        "open",
        "streams",
        "replies",
    ),
    size: int = 1,
    deadline: float = 1.0,
    processes: int = 1,
    rounds: int = 3,
    seconds: float = 2.0,
    server_pid: int | None = None,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
    plot: Path | None = None,
    timeout: float = 30.0,
    access: AccessFlags = None,
) -> None:
    """Measure what a server reaches, with any of its models.

    The loads take turns. closed: callers that ask again as soon as they are answered. open: requests that arrive by
    chance, at shares of the peak that the closed loops found, whatever becomes of those before; latency counts from
    when they were due. streams: one stream. replies: 1, 8 and 32 MiB of samples. Keep the machine quiet meanwhile; load
    that runs on the server's own machine takes its cores.

    Example: ganserve bench server 127.0.0.1:50051 --model digits --plot digits.svg

    Args:
        address: Address of the server, host:port.
        model: Name of the model, or name:version, as `ganserve models` lists them.
        loads: Loads to put on the server; may be several.
        size: Samples a request of the open loop.
        deadline: Seconds that a request of the open loop is given.
        processes: Processes that share the load, where one is too slow for the server.
        rounds: Turns of each load.
        seconds: Length of a turn.
        server_pid: Process of the server, where it runs on this machine and its CPU time is to be told.
        json_file: File for all figures, as JSON.
        plot: File for a picture of latency, goodput and batch sizes, .svg or .png.
        timeout: Most seconds to wait for the server, and for any request but those of the open loop.
    """
    show_waiting()
    if plot is not None:
        check_plot(plot, loads)
    settings = Settings(
        loads=loads,
        size=size,
        deadline_s=deadline,
        num_processes=processes,
        num_rounds=rounds,
        turn_s=seconds,
        timeout_s=timeout,
        server_pid=server_pid,
    )
    with (
        open_only_server(address, model, timeout_s=timeout, access=access) as (client, route),
        showing_turns() as on_progress,
    ):
        speed = measure(client, route, settings, on_progress)
    print_tables(speed, Console())
    if json_file is not None:
        write_figures(speed.to_dict(), json_file)
    if plot is not None:
        write_plot(speed, plot)
