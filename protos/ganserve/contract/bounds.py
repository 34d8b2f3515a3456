"""From where to where a number may go."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Bounds:
    """The numbers that a flag or a setting allows, `in` which a number is or is not. NaN never is.

    Attributes:
        low: the lowest.
        high: the highest.
        above_low: whether `low` itself is too low already.
        or_inf: whether inf is allowed as well, for no bound.
    """

    low: int
    high: int
    above_low: bool = False
    or_inf: bool = False

    def __contains__(self, value: float) -> bool:
        if value == math.inf:
            return self.or_inf
        return (self.low < value if self.above_low else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        low = f"more than {self.low:,} and at most" if self.above_low else f"{self.low:,} to"
        return f"{low} {self.high:,}{', or inf' if self.or_inf else ''}"
