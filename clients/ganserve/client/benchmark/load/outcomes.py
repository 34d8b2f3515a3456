"""What became of the requests of one turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Self

import numpy as np


@dataclass(kw_only=True)
class Outcomes:
    """What became of the requests of one turn. Times are in seconds from its start.

    Attributes:
        turn_s: seconds that rates count: of an open loop those in which calls were due, of others those until the last
            answer.
        codes: calls by the name of the gRPC status that they ended with. Of a call in which requests travel together,
            that is the first of theirs that is not OK.
        reasons: what the first call of each such status said, but for OK.
        num_samples: samples that came.
        answered: of each call that was answered, when it was due and how long after that the answer had come.
        refused_s: of each call that was refused with RESOURCE_EXHAUSTED, how long that took from when it was sent.
        num_without_advice: refusals that did not say when to come back.
        late_s: of each call, how long after it was due it was sent.
        num_unsent: calls that were due and for which the load generator had no time left.
        cpu_s: CPU seconds of the load generator.
    """

    turn_s: float
    codes: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, str] = field(default_factory=dict)
    num_samples: int = 0
    answered: list[tuple[float, float]] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    num_without_advice: int = 0
    late_s: list[float] = field(default_factory=list)
    num_unsent: int = 0
    cpu_s: float = 0.0

    @classmethod
    def merged(cls, parts: Sequence[Self]) -> Self:
        """Those of several load generators that had the same turn."""
        return cls(
            turn_s=max(part.turn_s for part in parts),
            codes=reduce(Counter.__add__, (part.codes for part in parts)),
            reasons=reduce(lambda told, more: more | told, (part.reasons for part in parts)),
            num_samples=sum(part.num_samples for part in parts),
            answered=[each for part in parts for each in part.answered],
            refused_s=[each for part in parts for each in part.refused_s],
            num_without_advice=sum(part.num_without_advice for part in parts),
            late_s=[each for part in parts for each in part.late_s],
            num_unsent=sum(part.num_unsent for part in parts),
            cpu_s=sum(part.cpu_s for part in parts),
        )

    @property
    def num_calls(self) -> int:
        """Calls that were due."""
        return self.codes.total() + self.num_unsent

    @property
    def calls_per_s(self) -> float:
        """Calls that were answered in a second of the turn."""
        return sum(due_s + wait_s <= self.turn_s for due_s, wait_s in self.answered) / self.turn_s

    @property
    def samples_per_s(self) -> float:
        """Samples that came in a second."""
        return self.num_samples / self.turn_s

    def latency_ms(self, percent: float) -> float | None:
        """Milliseconds within which so many percent of the answers had come; None where there were none."""
        return percentile_ms([wait_s for _, wait_s in self.answered], percent)

    def told(self) -> str:
        """The statuses and their numbers, for people."""
        counts = [f"{count:,} {code}" for code, count in self.codes.most_common()]
        return ", ".join(counts + [f"{self.num_unsent:,} not sent in time"] * bool(self.num_unsent))


def percentile_ms(values_s: Sequence[float], percent: float) -> float | None:
    """What so many percent of the values stay below, in milliseconds; None where there are none."""
    return float(np.percentile(values_s, percent)) * 1e3 if values_s else None
