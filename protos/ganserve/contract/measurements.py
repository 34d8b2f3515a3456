"""Several measurements of one thing, told by their middle and both ends."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple, Self


class Spread(NamedTuple):
    """The middle and both ends of several measurements."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """The spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    @classmethod
    def of_ratios(cls, values: Sequence[float], bases: Sequence[float]) -> Self:
        """The spread of each value over the base that was measured in the same round."""
        return cls.of([value / base for value, base in zip(values, bases, strict=True)])

    def __format__(self, form: str) -> str:
        """As `median (low to high)`, each number in the given form."""
        return f"{self.median:{form}} ({self.low:{form}} to {self.high:{form}})"
