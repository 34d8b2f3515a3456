"""The load generator of the benchmarks."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import closing
from typing import Any

import grpc
import pytest

from ganserve.client.benchmark.load import LoadGenerator, Outcomes, RequestKind, Requests, loops, open_loop
from ganserve.client.benchmark.server import OpenFigures
from ganserve.contract.errors import GanserveError, NotFoundError, RequestError, UnavailableError
from ganserve.v1.generator_pb2 import (
    GenerateManyResponse,
    GenerateRequest,
    GenerateResponse,
    ModelSelector,
    Outcome,
    Refusal,
    StreamSamplesRequest,
)

from .scripted import Failure, Script, ScriptedServer

KIND = RequestKind(model=ModelSelector(name="digits"), num_samples=2)
RawCall = Callable[..., Awaitable[bytes]]


class Clock:
    """Stands still but where somebody sleeps or works."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        yield_to_others = asyncio.sleep

        async def sleep(delay_s: float) -> None:
            end_s = self.now_s + delay_s
            await yield_to_others(0)
            self.now_s = max(self.now_s, end_s)

        monkeypatch.setattr("time.perf_counter", lambda: self.now_s)
        monkeypatch.setattr(asyncio, "sleep", sleep)


class SlowChannel:
    """Leads to a server that answers one call after the other, and holds up whoever asks meanwhile."""

    def __init__(self, clock: Clock, *works_s: float) -> None:
        self._clock = clock
        self._works_s = iter(works_s)

    def unary_unary(self, _: str) -> RawCall:
        async def call(_: bytes, timeout: float, metadata: object) -> bytes:  # noqa: ASYNC109 - as gRPC has it
            assert (timeout, metadata) == (5, ())
            self._clock.now_s += next(self._works_s)
            return b""

        return call


def run_open_loop(channel: Any, due_s: list[float], turn_s: float, monkeypatch: pytest.MonkeyPatch) -> Outcomes:
    monkeypatch.setattr(loops, "_arrivals", lambda *_: iter(due_s))
    loop: Coroutine[Any, Any, Outcomes] = open_loop(channel, KIND, calls_per_s=10, turn_s=turn_s, deadline_s=5)
    return asyncio.run(loop)


def test_latency_of_an_open_loop_counts_from_when_a_call_was_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that stalls for a second keeps all others waiting, though each is answered at once when it is sent."""
    channel = SlowChannel(Clock(monkeypatch), 1.0, 0.01, 0.01, 0.01)
    outcomes = run_open_loop(channel, [0.0, 0.1, 0.2, 3.0], 4.0, monkeypatch)
    assert [due_s for due_s, _ in outcomes.answered] == [0.0, 0.1, 0.2, 3.0]
    assert [wait_s for _, wait_s in outcomes.answered] == pytest.approx([1.0, 0.91, 0.82, 0.01])
    assert outcomes.late_s == pytest.approx([0.0, 0.9, 0.81, 0.0])
    assert outcomes.codes == {"OK": 4}
    assert outcomes.num_samples == 4 * KIND.num_samples
    assert outcomes.turn_s == 4.0


def test_what_is_not_sent_before_the_turn_is_over_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    channel = SlowChannel(Clock(monkeypatch), 2.0)
    outcomes = run_open_loop(channel, [0.0, 0.1, 0.2], 1.0, monkeypatch)
    assert (outcomes.num_calls, outcomes.num_unsent) == (3, 2)
    assert outcomes.turn_s == 1.0
    assert outcomes.calls_per_s == 0.0  # the one answer came when the turn was over
    assert outcomes.told() == "1 OK, 2 not sent in time"


def test_arrivals_come_at_the_rate_by_chance() -> None:
    due_s = list(loops._arrivals(1000.0, 50.0))
    gaps_s = [later - earlier for earlier, later in zip([0.0, *due_s], due_s, strict=False)]
    assert len(due_s) == pytest.approx(50_000, rel=0.05)
    assert min(gaps_s) > 0
    assert max(due_s) < 50
    # Of gaps that are exponentially distributed, as many are longer than the mean.
    assert sum(gap_s > 1e-3 for gap_s in gaps_s) / len(gaps_s) == pytest.approx(0.368, abs=0.02)


def test_an_open_loop_asks_on_while_nothing_is_answered(
    script: Script, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "_arrivals", lambda *_: [0.0] * 20)
    script.hold = threading.Event()
    found: list[Outcomes] = []
    with closing(LoadGenerator(server.address)) as generator:
        flags = {"calls_per_s": 1.0, "turn_s": 60.0, "deadline_s": 30.0}
        loop = threading.Thread(target=lambda: found.append(generator.open_loop(KIND, **flags)))
        loop.start()
        while len(script.asked(GenerateRequest)) < 2:
            loop.join(0.01)
        script.hold.set()
        loop.join()
    assert found[0].codes == {"OK": 20}
    assert found[0].num_unsent == 0


def test_a_closed_loop_has_so_many_calls_under_way_and_asks_for_no_sample_twice(
    script: Script, server: ScriptedServer
) -> None:
    script.hold = threading.Event()
    with closing(LoadGenerator(server.address)) as generator:
        loop = threading.Thread(target=generator.closed_loop, args=(KIND,), kwargs={"num_callers": 3, "turn_s": 0.0})
        loop.start()
        while len(script.asked(GenerateRequest)) < 3:
            loop.join(0.01)
        script.hold.set()
        loop.join()
        outcomes = generator.closed_loop(KIND, num_callers=2, turn_s=0.05)
    addresses = [request.query.address for request in script.asked(GenerateRequest)]
    assert len(addresses) == 3 + outcomes.codes["OK"]
    assert outcomes.num_samples == 2 * outcomes.codes["OK"]
    first = [(address.seed, address.first_index) for address in addresses]
    assert len(set(first)) == len(first)
    assert {address.count for address in addresses} == {2}
    assert {index % 2 for _, index in first} == {0}


def test_refusals_are_counted_and_whether_they_say_when_to_come_back(script: Script, server: ScriptedServer) -> None:
    refused, expired = grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED
    script.generate.extend([Failure(refused, retry_after_s=1.0), Failure(refused), Failure(expired)])
    with closing(LoadGenerator(server.address)) as generator:
        first = [generator.closed_loop(KIND, num_callers=1, turn_s=0.0) for _ in range(4)]
    outcomes = Outcomes.merged(first)
    assert outcomes.codes == {"OK": 1, "RESOURCE_EXHAUSTED": 2, "DEADLINE_EXCEEDED": 1}
    assert len(outcomes.refused_s) == 2
    assert outcomes.num_without_advice == 1
    assert outcomes.num_samples == 2


def test_a_closed_loop_ends_with_any_other_error(script: Script, server: ScriptedServer) -> None:
    unknown = RequestKind(model=ModelSelector(name="cats"), num_samples=1)
    with closing(LoadGenerator(server.address)) as generator:
        with pytest.raises(NotFoundError, match="no model 'cats'"):
            generator.closed_loop(unknown, num_callers=4, turn_s=60.0)
        script.generate.append(Failure(grpc.StatusCode.UNAVAILABLE))
        with pytest.raises(UnavailableError):
            generator.closed_loop(KIND, num_callers=1, turn_s=60.0)
        assert generator.closed_loop(KIND, num_callers=1, turn_s=0.0).codes == {"OK": 1}


def test_an_open_loop_counts_every_error(script: Script, server: ScriptedServer) -> None:
    script.generate.extend([Failure(grpc.StatusCode.INTERNAL)] * 1000)
    with closing(LoadGenerator(server.address)) as generator:
        outcomes = generator.open_loop(KIND, calls_per_s=500, turn_s=0.1, deadline_s=30)
    assert outcomes.codes["INTERNAL"] == outcomes.codes.total() > 0
    assert outcomes.latency_ms(50) is None
    assert outcomes.samples_per_s == 0


def test_processes_share_the_load(script: Script, server: ScriptedServer) -> None:
    with closing(LoadGenerator(server.address, num_processes=2)) as generator:
        outcomes = generator.closed_loop(KIND, num_callers=3, turn_s=0.0)
        assert generator.closed_loop(KIND, num_callers=1, turn_s=0.0).codes == {"OK": 1}
        with pytest.raises(RequestError, match="cats"):
            generator.closed_loop(
                RequestKind(model=ModelSelector(name="cats"), num_samples=1), num_callers=2, turn_s=0.0
            )
        assert generator.open_loop(KIND, calls_per_s=100, turn_s=0.2, deadline_s=30).codes["OK"] > 0
        assert generator.streams(KIND, num_samples=5, turn_s=0.0).num_samples == 5
    assert outcomes.codes == {"OK": 3}
    assert len(outcomes.answered) == len(outcomes.late_s) == 3
    callers = Counter(request.query.address.seed for request in script.asked(GenerateRequest)[:3])
    assert sorted(callers.values()) == [1, 2]


def test_streams_are_read_to_their_end(script: Script, server: ScriptedServer) -> None:
    with closing(LoadGenerator(server.address)) as generator:
        outcomes = generator.streams(KIND, num_samples=9, turn_s=0.0)
        assert (outcomes.num_samples, outcomes.codes, len(outcomes.answered)) == (9, {"OK": 1}, 1)
        script.stream.append((1, Failure(grpc.StatusCode.UNAVAILABLE)))
        with pytest.raises(UnavailableError):
            generator.streams(KIND, num_samples=9, turn_s=0.0)
    assert [request.query.address.count for request in script.asked(StreamSamplesRequest)] == [9, 9]


def test_of_requests_that_travel_together_only_those_answered_count(script: Script, server: ScriptedServer) -> None:
    kind = RequestKind(model=ModelSelector(name="digits"), num_samples=2, num_together=3)
    with closing(LoadGenerator(server.address)) as generator:
        assert generator.closed_loop(kind, num_callers=1, turn_s=0.0).num_samples == 6
    assert script.many == [3]
    outcomes = [
        Outcome(response=GenerateResponse()),
        Outcome(refusal=Refusal(code=8, message="full")),
        Outcome(refusal=Refusal()),
    ]
    answer = Requests(kind).read(GenerateManyResponse(outcomes=outcomes).SerializeToString())
    assert answer == (2, ("RESOURCE_EXHAUSTED", "full"))


def test_percentiles() -> None:
    outcomes = Outcomes(turn_s=2.0, answered=[(float(i), i / 1000) for i in range(1, 102)], num_samples=50)
    assert outcomes.latency_ms(0) == pytest.approx(1.0)
    assert outcomes.latency_ms(50) == pytest.approx(51.0)
    assert outcomes.latency_ms(99) == pytest.approx(100.0)
    assert outcomes.latency_ms(100) == pytest.approx(101.0)
    assert outcomes.samples_per_s == 25.0
    assert Outcomes(turn_s=1.0).latency_ms(50) is None


def test_every_request_of_an_open_loop_is_accounted_for(
    script: Script, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "_arrivals", lambda *_: iter([0.0] * 9 + [0.06] * 2))
    ends = ("RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", "CANCELLED", "INTERNAL", "UNKNOWN")
    script.generate.extend(Failure(grpc.StatusCode[end]) for end in ends)
    with closing(LoadGenerator(server.address)) as generator:
        outcomes = generator.open_loop(KIND, calls_per_s=1.0, turn_s=0.05, deadline_s=30)
    figures = OpenFigures.of(outcomes, offered_per_s=1.0, peak_per_s=1.0)
    accounts = (figures.num_answered, figures.num_refused, figures.num_expired, figures.num_cancelled)
    assert (*accounts, figures.num_failed, figures.num_unsent) == (3, 1, 2, 1, 2, 2)
    assert figures.num_scheduled == 11


def test_a_load_generator_that_died_is_told(server: ScriptedServer) -> None:
    with closing(LoadGenerator(server.address, num_processes=2)) as generator:
        assert generator.closed_loop(KIND, num_callers=2, turn_s=0.0).codes == {"OK": 2}
        generator._others[0]._process.kill()
        with pytest.raises(GanserveError, match="a process that puts load on the server has ended"):
            generator.closed_loop(KIND, num_callers=2, turn_s=0.0)
