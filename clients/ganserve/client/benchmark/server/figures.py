"""What was measured of a server, a value a turn."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

from ganserve.client.benchmark.load import Outcomes, percentile_ms
from ganserve.client.benchmark.rounds import TakenInRounds
from ganserve.contract.measurements import Spread

from .loads import Settings

_OVERLOAD: Final = ("RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED")


@dataclass(frozen=True, kw_only=True)
class ClosedFigures:
    """One turn of a closed loop, or of one stream.

    Attributes:
        images_per_s: rate.
        p50_ms: median latency of a request; None where none was answered.
        p99_ms: what 99 of 100 requests stayed below.
        num_overloaded: calls that the server refused, or did not answer within the timeout.
        overload: what the first of them ended with, for people; empty where there was none.
        client_cpu_s: CPU seconds of the load generator for a thousand images.
        server_cpu_s: the same of the server, where its process is known.
    """

    images_per_s: float
    p50_ms: float | None
    p99_ms: float | None
    num_overloaded: int
    overload: str
    client_cpu_s: float | None
    server_cpu_s: float | None

    @classmethod
    def of(cls, outcomes: Outcomes, server_cpu_s: float | None) -> Self:
        """From what became of the requests, and what the server worked meanwhile."""
        per_thousand = outcomes.num_samples / 1000
        return cls(
            images_per_s=outcomes.samples_per_s,
            p50_ms=outcomes.latency_ms(50),
            p99_ms=outcomes.latency_ms(99),
            num_overloaded=sum(outcomes.codes[code] for code in _OVERLOAD),
            overload=next((outcomes.reasons[code] for code in _OVERLOAD if outcomes.codes[code]), ""),
            client_cpu_s=outcomes.cpu_s / per_thousand if per_thousand else None,
            server_cpu_s=server_cpu_s / per_thousand if per_thousand and server_cpu_s is not None else None,
        )


@dataclass(frozen=True, kw_only=True)
class OpenFigures:
    """One turn of an open loop. Every request that was scheduled is counted once: not sent, or by what became of it.

    Attributes:
        offered_per_s: requests that were to be scheduled in a second, on average.
        answered_per_s: requests that were answered in a second, within their deadline.
        goodput: the latter over the peak of the same round.
        num_scheduled: requests that were due; the sum of those below.
        num_unsent: those for which the load generator had no time left.
        num_answered: those that were answered.
        num_refused: with RESOURCE_EXHAUSTED.
        num_expired: with DEADLINE_EXCEEDED.
        num_cancelled: with CANCELLED.
        num_failed: with any other status.
        p50_ms: median latency of the answers, from when their requests were due; None where there were none.
        p90_ms: what 90 of 100 stayed below.
        p99_ms: what 99 of 100 stayed below.
        refusal_p99_ms: what 99 of 100 refusals took at most, from when their requests were sent.
        late_p99_ms: what 99 of 100 requests were sent late at most.
    """

    offered_per_s: float
    answered_per_s: float
    goodput: float
    num_scheduled: int
    num_unsent: int
    num_answered: int
    num_refused: int
    num_expired: int
    num_cancelled: int
    num_failed: int
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    refusal_p99_ms: float | None
    late_p99_ms: float | None

    @classmethod
    def of(cls, outcomes: Outcomes, *, offered_per_s: float, peak_per_s: float) -> Self:
        """From what became of the requests."""
        codes = outcomes.codes
        told_apart = ("OK", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "CANCELLED")
        return cls(
            offered_per_s=offered_per_s,
            answered_per_s=outcomes.calls_per_s,
            goodput=outcomes.calls_per_s / peak_per_s,
            num_scheduled=outcomes.num_calls,
            num_unsent=outcomes.num_unsent,
            num_answered=codes["OK"],
            num_refused=codes["RESOURCE_EXHAUSTED"],
            num_expired=codes["DEADLINE_EXCEEDED"],
            num_cancelled=codes["CANCELLED"],
            num_failed=sum(count for code, count in codes.items() if code not in told_apart),
            p50_ms=outcomes.latency_ms(50),
            p90_ms=outcomes.latency_ms(90),
            p99_ms=outcomes.latency_ms(99),
            refusal_p99_ms=percentile_ms(outcomes.refused_s, 99),
            late_p99_ms=percentile_ms(outcomes.late_s, 99),
        )


@dataclass(frozen=True, kw_only=True)
class ReplyFigures:
    """Milliseconds until all samples of a reply are there, a value a round.

    Attributes:
        num_samples: samples in it.
        stream_ms: as a stream.
        whole_ms: in one reply; None where the server does not make so large a one.
    """

    num_samples: int
    stream_ms: list[float] = field(default_factory=list)
    whole_ms: list[float] | None = None


@dataclass(frozen=True, kw_only=True)
class ServerSpeed(TakenInRounds):
    """What was measured, a value a round.

    Attributes:
        model: who made the samples.
        image: height, width and channels.
        device: what the model runs on, and on how many lanes.
        settings: what was asked for.
        peak_per_s: requests of the open loop that closed loops reached in a second.
        closed: by callers × samples a request, and how they come.
        opened: by offered load in per cent of the peak.
        stream: of one stream.
        replies: by size, for people.
        left_out: what could not be measured, and why.
    """

    model: str
    image: tuple[int, int, int]
    device: str
    settings: Settings
    peak_per_s: list[float]
    closed: dict[str, list[ClosedFigures]]
    opened: dict[int, list[OpenFigures]]
    stream: list[ClosedFigures]
    replies: dict[str, ReplyFigures]
    left_out: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values, with what is missing."""
        return {**asdict(self), "missing": self.missing}

    def num_rounds(self) -> int:
        """Rounds that were to be taken."""
        return self.settings.num_rounds

    def taken(self) -> dict[str, Sequence[Any]]:
        """What was measured, by name of the load, a value a turn."""
        return {
            **self.closed,
            **{f"open loop at {percent} %": turns for percent, turns in self.opened.items()},
            **({"1 stream": self.stream} if "streams" in self.settings.loads else {}),
            **{f"a reply of {name}": reply.stream_ms for name, reply in self.replies.items()},
        }


def spread_of(turns: Sequence[ClosedFigures] | Sequence[OpenFigures], figure: str) -> Spread | None:
    """Median and range of the figure of such a name; None where no turn has it."""
    values = _values(turns, figure)
    return Spread.of(values) if values else None


def median_of(turns: Sequence[ClosedFigures] | Sequence[OpenFigures], figure: str) -> float | None:
    """Median of the figure of such a name; None where no turn has it."""
    values = _values(turns, figure)
    return statistics.median(values) if values else None


def _values(turns: Sequence[ClosedFigures] | Sequence[OpenFigures], figure: str) -> list[float]:
    return [value for turn in turns if (value := getattr(turn, figure)) is not None]
