"""One total deadline for a call, however many requests and attempts it takes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from ganserve.contract.errors import ConfigError, DeadlineError

# gRPC's clock ends some 290 years from 1970, and a later deadline counts as one that has passed.
_LONGEST_OF_GRPC_S: Final = 1e9


def check_timeout(timeout_s: float) -> float:
    """`timeout_s` as a float. Raises ConfigError unless it is a number above 0; infinity means no bound."""
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, (int, float)) or not timeout_s > 0:
        raise ConfigError(
            f"timeout_s (on the command line, --timeout) = {timeout_s!r}; give seconds above 0, or inf for no bound"
        )
    return _as_float(timeout_s)


def check_retry(retry_for_s: float | None) -> float:
    """`retry_for_s` as a float, infinite for None. Raises ConfigError unless it is a number of 0 or more."""
    if retry_for_s is None:
        return math.inf
    if isinstance(retry_for_s, bool) or not isinstance(retry_for_s, (int, float)) or not retry_for_s >= 0:
        raise ConfigError(f"retry_for_s is {retry_for_s!r}; give a number of seconds, 0 to ask once, or None")
    return _as_float(retry_for_s)


def check_hedge(hedge_after_s: float | None, num_addresses: int) -> float | None:
    """`hedge_after_s` as a float, or None for never.

    Raises ConfigError unless it is a number of 0 or more and there are two addresses, of which one can be the second.
    """
    if hedge_after_s is None:
        return None
    if isinstance(hedge_after_s, bool) or not isinstance(hedge_after_s, (int, float)) or not hedge_after_s >= 0:
        raise ConfigError(f"hedge_after_s is {hedge_after_s!r}; give a number of seconds, such as 0.2, or None")
    if num_addresses < 2:
        raise ConfigError(
            "hedge_after_s asks a second server, and there is one address; give two or more, or leave it out"
        )
    return _as_float(hedge_after_s)


class Deadline:
    """The moment `timeout_s` from now, on a monotonic clock."""

    def __init__(self, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.timeout_s = check_timeout(timeout_s)
        self._clock = clock
        self.restart()

    def restart(self) -> None:
        """Gives the whole time anew."""
        self._began_s = self._clock()

    @property
    def passed_s(self) -> float:
        """Seconds since the beginning, or the last restart."""
        return self._clock() - self._began_s

    def left_s(self) -> float | None:
        """Seconds left, in the form that gRPC takes: None without a bound. Raises DeadlineError when none are left."""
        left_s = self.timeout_s - self.passed_s
        if left_s <= 0:
            raise DeadlineError(too_slow(self.timeout_s))
        return left_s if left_s < _LONGEST_OF_GRPC_S else None


def too_slow(timeout_s: float) -> str:
    """What people read when the time is up."""
    return f"no answer within {timeout_s:g} s; give more time with timeout_s (on the command line, --timeout)"


def _as_float(seconds: float) -> float:
    try:
        return float(seconds)
    except OverflowError:
        return math.inf
