"""What a server does on its worst days: a table of load, fault, expected, seen.

    python benchmarks/faults.py

Load and server share the machine. Requests arrive as a Poisson process whose rate does not depend on the answers (an
open loop), each with a deadline; what is answered within it counts. Rates are told as shares of the peak, which is what
callers reach that each have one request under way.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cyclopts
import grpc
from rich.console import Console
from rich.table import Table

from ganserve.contract.grpc_keys import STATUS_DETAILS_KEY
from ganserve.v1.generator_pb2 import (
    GenerateRequest,
    ModelSelector,
    SampleAddress,
    SampleQuery,
    StreamSamplesRequest,
)
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub
from servers import export_untrained, serving

DEADLINE_S = 1.0
OVERLOAD = 3.0
TINY, MEDIUM, LARGE = "tiny", "medium", "large"


@dataclass(frozen=True)
class Traffic:
    """Requests of one kind."""

    model: str
    num_samples: int

    def request(self, number: int) -> GenerateRequest:
        address = SampleAddress(seed=1, first_index=number * self.num_samples, count=self.num_samples)
        return GenerateRequest(query=SampleQuery(model=ModelSelector(name=self.model), address=address))


@dataclass
class Seen:
    """What became of the requests of a phase."""

    seconds: float
    codes: Counter[str] = field(default_factory=Counter)
    answered_at_s: list[tuple[float, float]] = field(default_factory=list)  # when it was sent, and for how long
    refused_s: list[float] = field(default_factory=list)
    num_without_advice: int = 0

    @property
    def rate(self) -> float:
        """Requests answered in a second."""
        return self.codes["OK"] / self.seconds

    def told(self) -> str:
        return ", ".join(f"{count:,} {code}" for code, count in self.codes.most_common())


@dataclass(frozen=True)
class Finding:
    """A line of the table."""

    load: str
    fault: str
    expected: str
    seen: str
    is_met: bool


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield GeneratorServiceStub(channel)


async def call(stub: Any, request: GenerateRequest, seen: Seen) -> None:
    start_s = time.perf_counter()
    try:
        await stub.Generate(request, timeout=DEADLINE_S)
    except grpc.aio.AioRpcError as error:
        seen.codes[error.code().name] += 1
        if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            seen.refused_s.append(time.perf_counter() - start_s)
            seen.num_without_advice += not any(key == STATUS_DETAILS_KEY for key, _ in error.trailing_metadata() or ())
    else:
        seen.codes["OK"] += 1
        seen.answered_at_s.append((start_s, time.perf_counter() - start_s))


async def closed_loop(stub: Any, traffic: Traffic, num_callers: int, seconds: float) -> Seen:
    """Callers that ask again as soon as they are answered."""
    seen, numbers = Seen(seconds), iter(range(2**40))
    end_s = time.perf_counter() + seconds

    async def caller() -> None:
        while time.perf_counter() < end_s:
            await call(stub, traffic.request(next(numbers)), seen)

    await asyncio.gather(*(caller() for _ in range(num_callers)))
    return seen


async def open_loop(stub: Any, traffic: Traffic, rate: float, seconds: float) -> Seen:
    """Requests that arrive at `rate` a second, whatever becomes of those before."""
    seen, draw = Seen(seconds), random.Random(1)  # noqa: S311 (keeps no secret)
    tasks: set[asyncio.Task[None]] = set()
    start_s = due_s = time.perf_counter()
    number = 0
    while due_s < start_s + seconds:
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        task = asyncio.create_task(call(stub, traffic.request(number), seen))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        number += 1
        due_s += draw.expovariate(rate)
    await asyncio.gather(*tasks)
    seen.seconds = max([seconds, *(sent_s + wait_s - start_s for sent_s, wait_s in seen.answered_at_s)])
    return seen


async def find_peak(stub: Any, traffic: Traffic, seconds: float) -> float:
    """Requests a second that the server reaches at best."""
    closed = [await closed_loop(stub, traffic, num_callers, seconds) for num_callers in (8, 64)]
    peak = max(seen.rate for seen in closed)
    opened = [await open_loop(stub, traffic, share * peak, seconds) for share in (1.0, 1.2)]
    return max(peak, *(seen.rate for seen in opened))


async def overloaded(stub: Any, traffic: Traffic, least: float, seconds: float) -> list[Finding]:
    """Three times what the server can do, and then half of it."""
    await closed_loop(stub, traffic, 8, 1.0)
    peak = await find_peak(stub, traffic, seconds)
    over = await open_loop(stub, traffic, OVERLOAD * peak, seconds)
    after = await open_loop(stub, traffic, peak / 2, seconds)
    calm = await open_loop(stub, traffic, peak / 2, seconds)
    name = f"{traffic.num_samples} × {traffic.model} a request, {peak:,.0f} requests/s at peak"
    goodput = over.rate / peak
    findings = [
        Finding(
            name,
            f"{OVERLOAD:g} times as many, deadline {DEADLINE_S:g} s",
            f"goodput ≥ {least:.2f} of peak, no CANCELLED",
            f"{goodput:.2f}: {over.told()}",
            goodput >= least and not over.codes["CANCELLED"],
        )
    ]
    if len(over.refused_s) > 1:
        p99_ms = statistics.quantiles(over.refused_s, n=100)[98] * 1e3
        findings.append(
            Finding(
                "",
                "refusals",
                "p99 ≤ 20 ms, all with RetryInfo",
                f"p99 {p99_ms:.1f} ms, {over.num_without_advice:,} without",
                p99_ms <= 20 and not over.num_without_advice,
            )
        )
    back_s = seconds_until_normal(after, calm)
    findings.append(Finding("", "then half of the peak", "normal latency in ≤ 2 s", f"{back_s:.1f} s", back_s <= 2))
    return findings


def seconds_until_normal(after: Seen, calm: Seen, window_s: float = 0.25) -> float:
    """Until the median latency of a window is at most twice what it is when all is calm."""
    normal_s = statistics.median(wait_s for _, wait_s in calm.answered_at_s)
    start_s = min(sent_s for sent_s, _ in after.answered_at_s)
    windows: dict[int, list[float]] = {}
    for sent_s, wait_s in after.answered_at_s:
        windows.setdefault(int((sent_s - start_s) / window_s), []).append(wait_s)
    normal = (place for place, waits_s in sorted(windows.items()) if statistics.median(waits_s) <= 2 * normal_s)
    return next((place * window_s for place in normal), after.seconds)


async def beside_streams(address: str, seconds: float) -> list[Finding]:
    """A person who looks at single samples, beside those who pull many."""
    findings = []
    async with connected(address) as stub:
        alone_ms = await median_ms(stub, Traffic(LARGE, 1), seconds)
        batch_ms = await median_ms(stub, Traffic(LARGE, 32), 1.0)
        for number, greedy, fault in (
            (32, False, "32 streams that nobody reads"),
            (8, True, "8 streams, read as fast as they come"),
        ):
            async with streaming(address, number, greedy=greedy):
                beside_ms = await median_ms(stub, Traffic(LARGE, 1), seconds)
            findings.append(
                Finding(
                    f"1 × {LARGE} at a time, {alone_ms:.1f} ms alone",
                    fault,
                    f"at most a running batch more, {batch_ms:.0f} ms",
                    f"{beside_ms - alone_ms:+.1f} ms",
                    beside_ms - alone_ms <= batch_ms,
                )
            )
    return findings


@asynccontextmanager
async def streaming(address: str, number: int, *, greedy: bool) -> AsyncIterator[None]:
    """Endless streams by another client, of which nothing but the first reply is read unless they are greedy."""
    query = SampleQuery(model=ModelSelector(name=LARGE), address=SampleAddress(seed=1, count=2**40))
    async with grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        stub = GeneratorServiceStub(channel)
        streams = [stub.StreamSamples(StreamSamplesRequest(query=query)) for _ in range(number)]
        readers = [asyncio.create_task(read(stream, greedy=greedy)) for stream in streams]
        await asyncio.sleep(1.0)
        yield
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


async def read(stream: Any, *, greedy: bool) -> None:
    await stream.read()
    while greedy:
        await stream.read()
    await asyncio.Event().wait()


async def median_ms(stub: Any, traffic: Traffic, seconds: float) -> float:
    """Median milliseconds of a request, one at a time."""
    seen = await closed_loop(stub, traffic, 1, seconds)
    return statistics.median(wait_s for _, wait_s in seen.answered_at_s) * 1e3


async def two_models(address: str, seconds: float) -> list[Finding]:
    """A client each, which keeps a model as busy as it can."""
    traffics = {MEDIUM: Traffic(MEDIUM, 64), LARGE: Traffic(LARGE, 32)}
    async with connected(address) as stub:
        alone = {name: (await closed_loop(stub, traffic, 4, seconds)).rate for name, traffic in traffics.items()}
        both = await asyncio.gather(*(closed_loop(stub, traffic, 4, seconds) for traffic in traffics.values()))
    shares = {name: seen.rate / alone[name] for name, seen in zip(traffics, both, strict=True)}
    return [
        Finding(
            "4 callers of each model",
            "two models at once",
            "each ≥ 0.45 of its rate alone",
            ", ".join(f"{name} {share:.2f}" for name, share in shares.items()),
            min(shares.values()) >= 0.45,
        )
    ]


async def measure(address: str, seconds: float) -> list[Finding]:
    findings: list[Finding] = []
    async with connected(address) as stub:
        findings += await overloaded(stub, Traffic(LARGE, 8), 0.90, seconds)
        findings += await overloaded(stub, Traffic(TINY, 1), 0.60, seconds)
    findings += await beside_streams(address, seconds)
    findings += await two_models(address, seconds)
    return findings


def main(*, seconds: float = 5.0) -> None:
    """Make a server's day bad, and print what it does.

    Args:
        seconds: Length of each phase.
    """
    with tempfile.TemporaryDirectory() as models:
        export_untrained(Path(models), TINY, (32, 32, 1), width=8)
        export_untrained(Path(models), MEDIUM, (32, 32, 3), width=32)
        export_untrained(Path(models), LARGE, (64, 64, 3), width=24)
        with serving(Path(models)) as address:
            findings = asyncio.run(measure(address, seconds))
    table = Table("load", "fault", "expected", "seen", "", title="faults")
    for finding in findings:
        table.add_row(finding.load, finding.fault, finding.expected, finding.seen, "" if finding.is_met else "✗")
    Console().print(table)


if __name__ == "__main__":
    cyclopts.run(main)
