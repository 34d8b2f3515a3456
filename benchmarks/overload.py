"""What a server does when more is asked of it than it can do: a table of fault, load, expected, seen.

    python benchmarks/overload.py

Load and server share the machine. Requests arrive as a Poisson process whose rate does not depend on the answers (an
open loop), each with a deadline; what is answered within it counts. Rates are told as shares of the peak, which is what
callers reach that each have one request under way.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import grpc

from command import run
from findings import Finding, print_findings, raise_unmet
from ganserve.client.benchmark.load import STREAM_SAMPLES, Outcomes, RequestKind, Requests, percentile_ms
from ganserve.client.benchmark.load import closed_loop as any_closed_loop
from ganserve.client.benchmark.load import open_loop as any_open_loop
from ganserve.contract.errors import GanserveError
from ganserve.flags import Seconds
from ganserve.v1.generator_pb2 import ModelSelector
from servers import export_untrained, serving

DEADLINE_S = 1.0
OVERLOAD = 3.0
TINY, MEDIUM, LARGE = "tiny", "medium", "large"

finding = partial(Finding, shown_by="python benchmarks/overload.py")
closed_loop = partial(any_closed_loop, timeout_s=DEADLINE_S)
open_loop = partial(any_open_loop, deadline_s=DEADLINE_S)


def requests(model: str, num_samples: int) -> RequestKind:
    return RequestKind(model=ModelSelector(name=model), num_samples=num_samples)


async def find_peak(channel: grpc.aio.Channel, kind: RequestKind, turn_s: float) -> float:
    """Requests a second that the server reaches at best."""
    closed = [await closed_loop(channel, kind, num_callers=callers, turn_s=turn_s) for callers in (8, 64)]
    peak = max(outcomes.calls_per_s for outcomes in closed)
    if not peak:
        raise GanserveError("no request of those who measure the peak was answered")
    opened = [await open_loop(channel, kind, calls_per_s=share * peak, turn_s=turn_s) for share in (1.0, 1.2)]
    return max(peak, *(outcomes.calls_per_s for outcomes in opened))


async def overloaded(address: str, turn_s: float, *, kind: RequestKind, least: float) -> list[Finding]:
    """Three times what the server can do, and then half of it."""
    async with grpc.aio.insecure_channel(address) as channel:
        await closed_loop(channel, kind, num_callers=8, turn_s=1.0)
        peak = await find_peak(channel, kind, turn_s)
        over, after, calm = [
            await open_loop(channel, kind, calls_per_s=share * peak, turn_s=turn_s) for share in (OVERLOAD, 0.5, 0.5)
        ]
    name = f"{kind.num_samples} × {kind.model.name} a request, {peak:,.0f} requests/s at peak"
    goodput = over.calls_per_s / peak
    findings = [
        finding(
            fault=f"{OVERLOAD:g} times the peak, deadline {DEADLINE_S:g} s",
            load=name,
            expected=f"goodput ≥ {least:.2f} of peak, no CANCELLED",
            seen=f"{goodput:.2f}: {over.told()}",
            is_met=goodput >= least and not over.codes["CANCELLED"],
        )
    ]
    p99_ms = percentile_ms(over.refused_s, 99)
    findings.append(
        finding(
            fault="refusals meanwhile",
            load=name,
            expected="p99 ≤ 20 ms, all with RetryInfo",
            seen="none" if p99_ms is None else f"p99 {p99_ms:.1f} ms, {over.num_without_advice:,} without",
            is_met=p99_ms is not None and p99_ms <= 20 and not over.num_without_advice,
        )
    )
    back_s = seconds_until_normal(after, calm)
    findings.append(
        finding(
            fault="then half of the peak",
            load=name,
            expected="normal latency in ≤ 2 s",
            seen=f"{back_s:.1f} s",
            is_met=back_s <= 2,
        )
    )
    return findings


def seconds_until_normal(after: Outcomes, calm: Outcomes, window_s: float = 0.25) -> float:
    """Until the median latency of a window is at most twice what it is when all is calm."""
    normal_s = median_s(calm)
    windows: dict[int, list[float]] = {}
    for due_s, wait_s in after.answered:
        windows.setdefault(int(due_s / window_s), []).append(wait_s)
    normal = (place for place, waits_s in sorted(windows.items()) if statistics.median(waits_s) <= 2 * normal_s)
    return next((place * window_s for place in normal), after.turn_s)


async def beside_streams(address: str, turn_s: float) -> list[Finding]:
    """A person who looks at single samples, beside those who pull many."""
    findings = []
    async with grpc.aio.insecure_channel(address) as channel:
        alone_ms = await median_ms(channel, requests(LARGE, 1), turn_s)
        batch_ms = await median_ms(channel, requests(LARGE, 32), 1.0)
        for number, greedy, fault in (
            (32, False, "32 streams that nobody reads"),
            (8, True, "8 streams, read as fast as they come"),
        ):
            with streaming(address, number, greedy=greedy):
                beside_ms = await median_ms(channel, requests(LARGE, 1), turn_s)
            findings.append(
                finding(
                    fault=fault,
                    load=f"1 × {LARGE} at a time, {alone_ms:.1f} ms alone",
                    expected=f"at most a running batch more, {batch_ms:.0f} ms",
                    seen=f"{beside_ms - alone_ms:+.1f} ms",
                    is_met=beside_ms - alone_ms <= batch_ms,
                )
            )
    return findings


@contextmanager
def streaming(address: str, number: int, *, greedy: bool) -> Iterator[None]:
    """Endless streams by a process of its own, which reads the first reply of each, and all where they are greedy."""
    processes = multiprocessing.get_context("spawn")
    here, there = processes.Pipe(duplex=False)
    puller = processes.Process(target=pull, args=(address, number, greedy, there), daemon=True)
    puller.start()
    try:
        raise_refusal(here, wait_s=60)
        yield
        raise_refusal(here)
    finally:
        puller.kill()
        puller.join()


def raise_refusal(news: Connection, *, wait_s: float = 0.0) -> None:
    """Raises GanserveError where the process that pulls has told why a stream of its ended."""
    if news.poll(wait_s) and (refusal := news.recv()):
        raise GanserveError(f"a stream ended: {refusal}")


def pull(address: str, number: int, greedy: bool, news: Connection) -> None:
    try:
        asyncio.run(read_all(address, number, greedy, news))
    except grpc.aio.AioRpcError as error:
        news.send(f"{error.code().name}: {error.details()}")


async def read_all(address: str, number: int, greedy: bool, news: Connection) -> None:
    """Tells an empty string once the first has begun."""
    endless = Requests(requests(LARGE, 1)).take_stream(2**40)
    async with grpc.aio.insecure_channel(address) as channel:
        begin: Any = channel.unary_stream(STREAM_SAMPLES)
        streams = [begin(endless) for _ in range(number)]
        await streams[0].read()
        news.send("")
        await asyncio.gather(*(read(stream, greedy=greedy) for stream in streams))


async def read(stream: Any, *, greedy: bool) -> None:
    await stream.read()
    while greedy:
        await stream.read()
    await asyncio.Event().wait()


async def left_behind(address: str, _: float) -> list[Finding]:
    """Callers who leave before they are answered: what they asked for must not hold up the next one."""
    single, many = requests(LARGE, 1), requests(LARGE, 32)
    waits_ms = []
    async with grpc.aio.insecure_channel(address) as channel:
        each_ms = await median_ms(channel, many, 1.0)
        for _ in range(5):
            leaving = asyncio.create_task(any_closed_loop(channel, many, num_callers=32, turn_s=0, timeout_s=30))
            await asyncio.sleep(0.2)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
            waits_ms.append(await median_ms(channel, single, 0))
    seen_ms = statistics.median(waits_ms)
    return [
        finding(
            fault="all callers leave after 200 ms",
            load=f"32 callers of 32 × {LARGE}, {32 * each_ms:,.0f} ms of work",
            expected=f"none of what waits is made: the next sample comes in ≤ {each_ms:.0f} ms",
            seen=f"{seen_ms:.1f} ms",
            is_met=seen_ms <= each_ms,
        )
    ]


async def median_ms(channel: grpc.aio.Channel, kind: RequestKind, turn_s: float) -> float:
    """Median milliseconds of a request, one at a time."""
    return median_s(await closed_loop(channel, kind, num_callers=1, turn_s=turn_s)) * 1e3


def median_s(outcomes: Outcomes) -> float:
    """Median seconds until the answer. Raises GanserveError where there was none."""
    if not outcomes.answered:
        raise GanserveError(f"no request was answered: {outcomes.told() or 'none was sent'}")
    return statistics.median(wait_s for _, wait_s in outcomes.answered)


async def two_models(address: str, turn_s: float) -> list[Finding]:
    """A client each, which keeps a model as busy as it can."""
    kinds = {MEDIUM: requests(MEDIUM, 64), LARGE: requests(LARGE, 32)}
    async with grpc.aio.insecure_channel(address) as channel:
        keep_busy = partial(closed_loop, channel, num_callers=4, turn_s=turn_s)
        alone = {name: (await keep_busy(kind)).calls_per_s for name, kind in kinds.items()}
        if not all(alone.values()):
            raise GanserveError("a model alone answered none of its 4 callers")
        both = await asyncio.gather(*map(keep_busy, kinds.values()))
    shares = {name: outcomes.calls_per_s / alone[name] for name, outcomes in zip(kinds, both, strict=True)}
    return [
        finding(
            fault="two models at once",
            load="4 callers of each model",
            expected="each ≥ 0.45 of its rate alone",
            seen=", ".join(f"{name} {share:.2f}" for name, share in shares.items()),
            is_met=min(shares.values()) >= 0.45,
        )
    ]


HARMS: dict[str, Callable[[str, float], Coroutine[Any, Any, list[Finding]]]] = {
    "large requests beyond the peak": partial(overloaded, kind=requests(LARGE, 8), least=0.90),
    "tiny requests beyond the peak": partial(overloaded, kind=requests(TINY, 1), least=0.60),
    "single images beside streams": beside_streams,
    "callers who leave": left_behind,
    "two models": two_models,
}


def overload(seconds: float) -> Iterator[Finding]:
    """What a server of untrained models does, in phases of so many seconds."""
    with tempfile.TemporaryDirectory() as models:
        export_untrained(Path(models), TINY, (32, 32, 1), width=8)
        export_untrained(Path(models), MEDIUM, (32, 32, 3), width=32)
        export_untrained(Path(models), LARGE, (64, 64, 3), width=24)
        with serving(Path(models)) as server:
            for name, harm in HARMS.items():
                try:
                    yield from asyncio.run(harm(server.address, seconds))
                except (GanserveError, grpc.aio.AioRpcError) as error:
                    yield not_measured(name, error)


def not_measured(name: str, error: Exception) -> Finding:
    """A harm under which the server did so little that there was nothing to measure."""
    reason = f"{error.code().name}: {error.details()}" if isinstance(error, grpc.aio.AioRpcError) else str(error)
    return finding(fault=name, load="all of it", expected="answers to measure", seen=reason, is_met=False)


def main(*, seconds: Seconds = 5.0) -> None:
    """Ask too much of a server, and print what it does.

    Args:
        seconds: Length of each phase.
    """
    raise_unmet(print_findings(overload(seconds)))


if __name__ == "__main__":
    run(main)
