"""When a server that refused a call may be asked again.

A server that says how long to wait (RetryInfo) is never asked sooner, and one that says nothing after a lack of room is
not asked again. Pauses double with every refusal, and each client draws its own, so that many of them that were refused
at the same time do not come back at the same time.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final

from ganserve.contract.errors import OverloadedError, RequestError

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0  # between questions to a server that is not there: it may be back at any time
_LONGEST_OVERLOADED_PAUSE_S: Final = 8.0
_MOST_DOUBLINGS: Final = 16


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """What a server said last, in a call.

    Attributes:
        error: what it said.
        times: how many times it has refused this call, 1 or more.
        not_before_s: when it may be asked again, in seconds of the call; infinite for never.
        due_s: when it is to be asked again, `not_before_s` or later.
    """

    error: RequestError
    times: int
    not_before_s: float
    due_s: float

    def wait_s(self, passed_s: float, left_s: float) -> float:
        """Seconds to wait from now; infinite where that is too long.

        Args:
            passed_s: seconds of the call that have passed.
            left_s: seconds of the call that are left. The wait takes no more than half of those in which the server may
                be asked, so that the last attempts come near the end, whatever the pause.
        """
        earliest_s = max(0.0, self.not_before_s - passed_s)
        if earliest_s >= left_s:
            return math.inf
        latest_s = (earliest_s + left_s) / 2
        due_s = self.due_s - passed_s
        return due_s if due_s <= latest_s else _draw(max(earliest_s, latest_s / 2), latest_s)


def refused(error: RequestError, before: Refusal | None, now_s: float) -> Refusal:
    """The refusal of a server that said `error` at `now_s` of the call, after `before`."""
    times = before.times + 1 if before else 1
    not_before_s = now_s + _least_pause_s(error)
    return Refusal(error=error, times=times, not_before_s=not_before_s, due_s=now_s + draw_pause_s(error, times))


def draw_pause_s(error: RequestError, times: int) -> float:
    """Seconds of the pause after a server has refused for the `times`-th time: at least those that it advises."""
    least_s = _least_pause_s(error)
    longest_s = _LONGEST_OVERLOADED_PAUSE_S if isinstance(error, OverloadedError) else _LONGEST_PAUSE_S
    pause_s = math.ldexp(max(_FIRST_PAUSE_S, least_s), min(times - 1, _MOST_DOUBLINGS))
    low, high = (1.0, 1.5) if least_s else (0.8, 1.2)
    return min(pause_s, max(longest_s, least_s)) * _draw(low, high)


def _draw(low: float, high: float) -> float:
    return random.uniform(low, high)  # noqa: S311 (keeps no secret)


def _least_pause_s(error: RequestError) -> float:
    if error.retry_after_s is None and isinstance(error, OverloadedError):
        return math.inf  # such as a request that is too large for gRPC
    return max(0.0, error.retry_after_s or 0.0)
