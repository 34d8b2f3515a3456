"""One total deadline for a call, however many requests and attempts it takes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from ganserve.contract.errors import ConfigError, DeadlineError


def check_timeout(timeout_s: float) -> float:
    """`timeout_s` as a float. Raises ConfigError unless it is a number above 0; infinity means no bound."""
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, (int, float)) or not timeout_s > 0:
        raise ConfigError(f"timeout_s is {timeout_s!r}; give a number of seconds above 0, or math.inf for no bound")
    return float(timeout_s)


class Deadline:
    """The moment `timeout_s` from now, on a monotonic clock."""

    def __init__(self, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.timeout_s = check_timeout(timeout_s)
        self._clock = clock
        self._end_s = clock() + self.timeout_s

    def left_s(self) -> float | None:
        """Seconds left, in the form that gRPC takes: None without a bound. Raises DeadlineError when none are left."""
        left_s = self._end_s - self._clock()
        if left_s <= 0:
            raise DeadlineError(too_slow(self.timeout_s))
        return None if math.isinf(left_s) else left_s


def too_slow(timeout_s: float) -> str:
    """What people read when the time is up."""
    return f"no answer within {timeout_s:g} s; give more time with timeout_s (on the command line, --timeout)"
