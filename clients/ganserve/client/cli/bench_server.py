"""The command `ganserve bench server`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ganserve.client.benchmark.server import LoadName, Measurement, ServerSpeed, Settings, check_plot, write_plot
from ganserve.console import open_console
from ganserve.flags import Count, Processes, Rounds, Seconds, check_output_files

from .access import AccessFlags
from .measuring import measure, open_only_server, write_figures
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
    size: Count = 1,
    deadline: Seconds = 1.0,
    processes: Processes = 1,
    rounds: Rounds = 3,
    seconds: Seconds = 2.0,
    server_pid: int | None = None,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
    plot: Path | None = None,
    timeout: Seconds = 30.0,
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
        model: Name of the model, name:version as `ganserve models` lists them, or name:alias.
        loads: Loads to put on the server; may be several.
        size: Samples a request of the open loop.
        deadline: Seconds that a request of the open loop is given.
        processes: Processes that share the load, where one is too slow for the server; at most two a core.
        rounds: Turns of each load.
        seconds: Length of a turn.
        server_pid: Process of the server, on this machine and with Linux alone, where its CPU time is to be told.
        json_file: File for all figures, as JSON. Here and for the plot, a folder that is not there is made.
        plot: File for a picture of latency, goodput and batch sizes, .svg or .png.
        timeout: Most seconds to wait for the server, and for any request but those of the open loop.
    """
    show_waiting()
    check_output_files({"--json": json_file, "--plot": plot})
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

    def report(speed: ServerSpeed) -> None:
        print_tables(speed, open_console())
        if json_file is not None:
            write_figures(speed.to_dict(), json_file)
        if plot is not None and not write_plot(speed, plot):
            print(f"There is no {plot}, since nothing of what it shows was measured.")

    with open_only_server(address, model, timeout_s=timeout, access=access) as (client, route):
        measure(lambda on_progress: Measurement(client, route, settings, on_progress), report)
