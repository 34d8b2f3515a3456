"""The tables of `ganserve bench server`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

from ganserve.client.benchmark.server import ClosedFigures, OpenFigures, ServerSpeed, median_of, spread_of
from ganserve.contract.measurements import Spread

_NOTABLY_LATE: Final = 0.1  # of the latency
_NOTABLY_LATE_MS: Final = 10.0
_NOTABLY_UNSENT: Final = 0.01
_WHOLE_FROM_MS: Final = 100.0
_SHARES: Final = ("refused", "expired", "other")


def print_tables(speed: ServerSpeed, console: Console) -> None:
    """A table a kind of load, and what could not be measured, or not well."""
    _say(console, "; ".join(_facts(speed)))
    if speed.closed or speed.stream:
        _print(console, "closed loops and streams; CPU in seconds for a thousand images", _rates(speed))
        if num_overloaded := _num_overloaded(speed):
            _say(console, f"Calls that were refused or took too long, and count as not answered: {num_overloaded:,}.")
    if speed.opened:
        _print(console, _open_title(speed), _open_loops(speed))
        if late := _late(speed):
            _say(console, late)
    if speed.replies:
        _print(console, "one reply, in milliseconds", _replies(speed))
    for reason in speed.left_out:
        _say(console, f"Left out: {reason}.")


def _facts(speed: ServerSpeed) -> list[str]:
    settings = speed.settings
    processes = "1 process" if settings.num_processes == 1 else f"{settings.num_processes} processes"
    return [
        f"{speed.model}, {'×'.join(map(str, speed.image))}, on {speed.device}",
        f"load from {processes} on {os.cpu_count()} cores",
        f"medians; turns of {settings.turn_s:g} s; rounds: {settings.num_rounds}",
    ]


def _rates(speed: ServerSpeed) -> Table:
    loads = {**speed.closed, **({"1 stream": speed.stream} if speed.stream else {})}
    has_server_cpu = speed.settings.server_pid is not None
    cpu = ["client_cpu_s", *["server_cpu_s"] * has_server_cpu]
    headings = ("images/s", "range", "p50\nms", "p99\nms", "client\nCPU", *["server\nCPU"] * has_server_cpu)
    table = _table("callers × images", *headings)
    for name, turns in loads.items():
        table.add_row(
            name,
            *_median_and_range(turns, "images_per_s", ",.0f"),
            *("" if turns is speed.stream else _ms(median_of(turns, figure)) for figure in ("p50_ms", "p99_ms")),
            *(_number(median_of(turns, figure), ".3f") for figure in cpu),
        )
    return table


def _num_overloaded(speed: ServerSpeed) -> int:
    return sum(turn.num_overloaded for turns in speed.closed.values() for turn in turns)


def _open_title(speed: ServerSpeed) -> str:
    settings = speed.settings
    samples = "1 sample" if settings.size == 1 else f"{settings.size} samples"
    peak = f"peak {Spread.of(speed.peak_per_s):,.0f} requests/s"
    return f"open loop, {samples} a request, deadline {settings.deadline_s:g} s; {peak}"


def _open_loops(speed: ServerSpeed) -> Table:
    latencies = ("p50_ms", "p90_ms", "p99_ms", "refusal_p99_ms")
    headings = ("goodput\nof peak", "range", *_SHARES, "p50\nms", "p90\nms", "p99\nms", "p99 of\nrefusals")
    table = _table("load", *headings, gap=1)
    for percent, turns in speed.opened.items():
        table.add_row(
            f"{percent} %",
            *_median_and_range(turns, "goodput", ".2f"),
            *(_number(median_of(turns, share), ".1%") for share in _SHARES),
            *(_ms(median_of(turns, latency)) for latency in latencies),
        )
    return table


def _late(speed: ServerSpeed) -> str:
    """What is to be said where the load generator did not keep up with its own schedule."""
    slow = [percent for percent, turns in speed.opened.items() if _is_late(turns)]
    if not slow:
        return ""
    worst = speed.opened[slow[-1]]
    unsent = _number(median_of(worst, "unsent"), ".1%")
    return (
        f"At {slow[-1]} % the load generator itself was up to {_ms(median_of(worst, 'late_p99_ms'))} ms late (p99), "
        f"which counts as latency, and did not send {unsent} of the requests at all; with cores to spare give more "
        "--processes, or put the load on from another machine."
    )


def _is_late(turns: Sequence[OpenFigures]) -> bool:
    late_ms, p99_ms = median_of(turns, "late_p99_ms") or 0.0, median_of(turns, "p99_ms") or 0.0
    return (
        late_ms > max(_NOTABLY_LATE_MS, _NOTABLY_LATE * p99_ms) or (median_of(turns, "unsent") or 0) > _NOTABLY_UNSENT
    )


def _replies(speed: ServerSpeed) -> Table:
    table = _table("size", "images", "as a stream", "in one reply")
    for name, reply in speed.replies.items():
        whole = f"{Spread.of(reply.whole_ms):,.1f}" if reply.whole_ms else ""
        table.add_row(name, f"{reply.num_samples:,}", f"{Spread.of(reply.stream_ms):,.1f}", whole)
    return table


def _table(first_heading: str, *headings: str, gap: int = 2) -> Table:
    table = Table(
        box=None,
        pad_edge=False,
        padding=(0, gap),
        collapse_padding=True,
        header_style="bold",
    )
    table.add_column(first_heading, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _median_and_range(turns: Sequence[ClosedFigures] | Sequence[OpenFigures], figure: str, form: str) -> list[str]:
    spread = spread_of(turns, figure)
    return ["", ""] if spread is None else [f"{spread.median:{form}}", f"{spread.low:{form}} to {spread.high:{form}}"]


def _ms(value: float | None) -> str:
    return _number(value, ".1f" if (value or 0.0) < _WHOLE_FROM_MS else ",.0f")


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _print(console: Console, title: str, table: Table) -> None:
    _say(console, f"\n{title}")
    console.print(table)


def _say(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, highlight=False, markup=False)
