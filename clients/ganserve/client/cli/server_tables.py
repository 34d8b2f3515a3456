"""The tables of `ganserve bench server`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from rich.console import Console
from rich.table import Table

from ganserve.client.benchmark.server import ClosedFigures, OpenFigures, ServerSpeed, median_of, spread_of
from ganserve.contract.measurements import Spread
from ganserve.contract.text import counted, printable

from .measuring import tell_missing

_NOTABLY_LATE: Final = 0.1  # of the latency
_NOTABLY_LATE_MS: Final = 10.0
_NOTABLY_UNSENT: Final = 0.01
_WHOLE_FROM_MS: Final = 100.0

Load = TypeVar("Load")
Turn = TypeVar("Turn")


def print_tables(speed: ServerSpeed, console: Console) -> None:
    """A table a kind of load, and what could not be measured, or not well."""
    _say(console, "; ".join(_facts(speed)))
    if any(speed.closed.values()) or speed.stream:
        _print(console, "closed loops and streams; CPU in seconds for a thousand images", _rates(speed))
        if overload := _overload(speed):
            _say(console, overload)
    if any(speed.opened.values()):
        _print(console, _open_title(speed), _open_loops(speed))
        _print(console, "what became of the requests of the open loop, in all rounds together", _accounts(speed))
        if late := _late(speed):
            _say(console, late)
    if any(reply.stream_ms for reply in speed.replies.values()):
        _print(console, "one reply, in milliseconds", _replies(speed))
    for reason in speed.left_out:
        _say(console, f"Left out: {reason}.")
    if missing := tell_missing(speed):
        _say(console, missing)


def _facts(speed: ServerSpeed) -> list[str]:
    settings = speed.settings
    processes = "1 process" if settings.num_processes == 1 else f"{settings.num_processes} processes"
    return [
        f"{speed.model}, {'×'.join(map(str, speed.image))}, on {speed.device}",
        f"load from {processes} on {counted(os.cpu_count() or 1, 'core')}",
        f"medians; turns of {settings.turn_s:g} s; rounds: {settings.num_rounds}",
    ]


def _rates(speed: ServerSpeed) -> Table:
    loads = {**_taken(speed.closed), **({"1 stream": speed.stream} if speed.stream else {})}
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


def _overload(speed: ServerSpeed) -> str:
    """How many calls were in vain, and what the first of them was told; empty where there were none."""
    turns = [turn for turns in speed.closed.values() for turn in turns if turn.num_overloaded]
    if not turns:
        return ""
    num_calls = sum(turn.num_overloaded for turn in turns)
    told = printable(turns[0].overload)
    return f"Calls that were refused or took too long, and count as not answered: {num_calls:,}, such as: {told}"


def _open_title(speed: ServerSpeed) -> str:
    settings = speed.settings
    peak = f"peak {Spread.of(speed.peak_per_s):,.0f} requests/s"
    return f"open loop, {counted(settings.size, 'sample')} a request, deadline {settings.deadline_s:g} s; {peak}"


def _open_loops(speed: ServerSpeed) -> Table:
    latencies = ("p50_ms", "p90_ms", "p99_ms", "refusal_p99_ms")
    headings = ("goodput\nof peak", "range", "p50\nms", "p90\nms", "p99\nms", "p99 of\nrefusals, ms")
    table = _table("load", *headings)
    for percent, turns in _taken(speed.opened).items():
        table.add_row(
            f"{percent} %",
            *_median_and_range(turns, "goodput", ".2f"),
            *(_ms(median_of(turns, latency)) for latency in latencies),
        )
    return table


def _accounts(speed: ServerSpeed) -> Table:
    """What became of every request that was scheduled. Columns add up to the first."""
    ends = ("unsent", "answered", "refused", "expired", "cancelled", "failed")
    table = _table("load", "scheduled", "not sent", *ends[1:])
    for percent, turns in _taken(speed.opened).items():
        numbers = (_sum(turns, f"num_{end}") for end in ("scheduled", *ends))
        table.add_row(f"{percent} %", *(f"{number:,}" for number in numbers))
    return table


def _late(speed: ServerSpeed) -> str:
    """What is to be said where the load generator did not keep up with its own schedule."""
    slow = [percent for percent, turns in speed.opened.items() if _is_late(turns)]
    if not slow:
        return ""
    turns = speed.opened[slow[-1]]
    num_unsent, num_scheduled = _sum(turns, "num_unsent"), _sum(turns, "num_scheduled")
    unsent = (
        f", and it had no time left to send {num_unsent:,} of {counted(num_scheduled, 'request')}" if num_unsent else ""
    )
    return (
        f"At {slow[-1]} % the load generator itself was up to {_ms(median_of(turns, 'late_p99_ms'))} ms late (p99), "
        f"which counts as latency{unsent}; with cores to spare give more --processes, or put the load on from another "
        "machine."
    )


def _is_late(turns: Sequence[OpenFigures]) -> bool:
    late_ms, p99_ms = median_of(turns, "late_p99_ms") or 0.0, median_of(turns, "p99_ms") or 0.0
    is_notably_unsent = _sum(turns, "num_unsent") > _NOTABLY_UNSENT * _sum(turns, "num_scheduled")
    return late_ms > max(_NOTABLY_LATE_MS, _NOTABLY_LATE * p99_ms) or is_notably_unsent


def _sum(turns: Sequence[OpenFigures], figure: str) -> int:
    return sum(getattr(turn, figure) for turn in turns)


def _taken(turns: Mapping[Load, list[Turn]]) -> dict[Load, list[Turn]]:
    """Those loads that had a turn."""
    return {load: taken for load, taken in turns.items() if taken}


def _replies(speed: ServerSpeed) -> Table:
    table = _table("size", "images", "as a stream", "in one reply")
    for name, reply in speed.replies.items():
        if reply.stream_ms:
            whole = f"{Spread.of(reply.whole_ms):,.1f}" if reply.whole_ms else ""
            table.add_row(name, f"{reply.num_samples:,}", f"{Spread.of(reply.stream_ms):,.1f}", whole)
    return table


def _table(first_heading: str, *headings: str) -> Table:
    table = Table(
        box=None,
        pad_edge=False,
        padding=(0, 2),
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
