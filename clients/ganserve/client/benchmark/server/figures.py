"""What was measured of a server, a value a turn."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from ganserve.client.benchmark.load import Outcomes, percentile_ms
from ganserve.contract.measurements import Spread

from .loads import Settings


@dataclass(frozen=True, kw_only=True)
class ClosedFigures:
    """One turn of a closed loop, or of one stream.

    Attributes:
        images_per_s: rate.
        p50_ms: median latency of a request; None where none was answered.
        p99_ms: what 99 of 100 requests stayed below.
        num_overloaded: calls that the server refused, or did not answer within the timeout.
        client_cpu_s: CPU seconds of the load generator for a thousand images.
        server_cpu_s: the same of the server, where its process is known.
    """

    images_per_s: float
    p50_ms: float | None
    p99_ms: float | None
    num_overloaded: int
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
            num_overloaded=outcomes.codes["RESOURCE_EXHAUSTED"] + outcomes.codes["DEADLINE_EXCEEDED"],
            client_cpu_s=outcomes.cpu_s / per_thousand if per_thousand else None,
            server_cpu_s=server_cpu_s / per_thousand if per_thousand and server_cpu_s is not None else None,
        )


@dataclass(frozen=True, kw_only=True)
class OpenFigures:
    """One turn of an open loop. Shares are of the requests that were due.

    Attributes:
        offered_per_s: requests that were due in a second.
        answered_per_s: requests that were answered in a second, within their deadline.
        goodput: the latter over the peak of the same round.
        refused: share with RESOURCE_EXHAUSTED.
        expired: share with DEADLINE_EXCEEDED.
        other: share with any other status but OK.
        unsent: share for which the load generator had no time.
        p50_ms: median latency of the answers, from when their requests were due; None where there were none.
        p90_ms: what 90 of 100 stayed below.
        p99_ms: what 99 of 100 stayed below.
        refusal_p99_ms: what 99 of 100 refusals took at most, from when their requests were sent.
        late_p99_ms: what 99 of 100 requests were sent late at most.
    """

    offered_per_s: float
    answered_per_s: float
    goodput: float
    refused: float
    expired: float
    other: float
    unsent: float
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    refusal_p99_ms: float | None
    late_p99_ms: float | None

    @classmethod
    def of(cls, outcomes: Outcomes, *, offered_per_s: float, peak_per_s: float) -> Self:
        """From what became of the requests."""
        return cls(
            offered_per_s=offered_per_s,
            answered_per_s=outcomes.calls_per_s,
            goodput=outcomes.calls_per_s / peak_per_s,
            refused=outcomes.share("RESOURCE_EXHAUSTED"),
            expired=outcomes.share("DEADLINE_EXCEEDED"),
            other=outcomes.share(*outcomes.codes.keys() - {"OK", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}),
            unsent=outcomes.num_unsent / max(1, outcomes.num_calls),
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
class ServerSpeed:
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
        """Everything as plain JSON values."""
        return asdict(self)


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
