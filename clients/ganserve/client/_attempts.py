"""One call over as many attempts as it takes: whom to ask, how long to wait before asking again, and when to give up.

The call's deadline is the only clock. A server that is unavailable is asked again until then, with growing pauses, and
the other servers are asked at once. A server that lacks the model or has no room is passed over for the others. What
else a server answers is the answer.
"""

from __future__ import annotations

import logging
import math
import random
from typing import Final

from ganserve.contract.errors import DeadlineError, OverloadedError, RequestError, UnavailableError

from ._deadline import Deadline
from ._errors import is_lack, is_over_limit, request_error
from ._servers import Server, Servers

_FIRST_PAUSE_S: Final = 0.1
_MAX_PAUSE_S: Final = 2.0
_MOST_DOUBLINGS: Final = 8
_LAST_CHANCE_S: Final = 0.02  # with less time left there is no further attempt
_SILENT_S: Final = 1.0

_log = logging.getLogger("ganserve.client")


class Attempts:
    """The attempts at one call, or at the next reply of a stream."""

    def __init__(
        self, servers: Servers, deadline: Deadline, *, retry_for_s: float, digest: str = "", may_change: bool = False
    ) -> None:
        """Asks nothing yet.

        Args:
            servers: whom to ask.
            deadline: when to give up.
            retry_for_s: most seconds for which an unavailable server is asked again, however far the deadline is.
            digest: the model that is asked for, where it is known.
            may_change: whether the caller can do with another model. Then it is not waited for a server that may have
                this one, once another server says that it does not.
        """
        self.deadline = deadline
        self._servers = servers
        self._retry_for_s = retry_for_s
        self._digest = digest
        self._may_change = may_change
        self._unasked: list[Server] = []  # in this round
        self._refusals: list[tuple[Server, RequestError]] = []  # of this round
        self._num_rounds = 0
        self._refused_since_s = math.inf
        self._last_refusal: RequestError | None = None
        self._told = False

    def next_address(self) -> str:
        """Whom to ask now."""
        if not self._unasked:
            self._unasked = self._servers.in_order(self._digest)
        self._server = self._unasked.pop(0)
        return self._server.address

    def go_on_at(self, address: str) -> None:
        """A server was asked already, and its answer is awaited."""
        order = self._servers.in_order(self._digest)
        self._server = next(server for server in order if server.address == address)
        self._unasked = [server for server in order if server is not self._server]

    def left_s(self) -> float | None:
        """As `Deadline.left_s`. Raises the last refusal, where there was one, when no time is left."""
        try:
            return self.deadline.left_s()
        except DeadlineError as error:
            raise self._at_the_end(error) from None

    def pause_s(self, failure: Exception) -> float:
        """Seconds to wait before the next attempt, after one that gRPC or a check of the reply ended.

        Raises:
            RequestError: there is to be none.
        """
        error = request_error(failure, self._server.address, self.deadline.timeout_s)
        self._learn(error)
        if isinstance(error, OverloadedError) and self._unasked:
            return 0.0  # another server may have room
        if not isinstance(error, UnavailableError) and not is_lack(error):
            raise self._at_the_end(error) from None
        self._refusals.append((self._server, error))
        if self._unasked:
            return 0.0
        refusals, self._refusals = self._refusals, []
        self._num_rounds += 1
        if any(is_lack(error) for _, error in refusals) and (
            self._may_change or all(is_lack(error) for _, error in refusals)
        ):
            raise _joined(refusals) from None
        return self._backoff_s(refusals)

    def _learn(self, error: RequestError) -> None:
        if isinstance(error, UnavailableError):
            self._servers.rest(self._server)
        elif is_lack(error):
            self._server.lacks.add(self._digest)
        elif is_over_limit(error):
            self._servers.ask_next(self._server)  # it knows its limit

    def _backoff_s(self, refusals: list[tuple[Server, RequestError]]) -> float:
        """The pause after a round in which every server refused. Raises where no time is left for another."""
        joined = _joined(refusals)
        passed_s = self.deadline.passed_s
        self._refused_since_s = min(self._refused_since_s, passed_s)
        left_s = min(self.deadline.timeout_s, self._refused_since_s + self._retry_for_s) - passed_s
        advised_s = min((error.retry_after_s or 0.0 for _, error in refusals), default=0.0)
        if left_s <= _LAST_CHANCE_S:
            raise self._after_all(joined) from None
        if passed_s - self._refused_since_s >= _SILENT_S and not self._told:
            self._told = True
            _log.warning("%s; asking again%s", joined, "" if math.isinf(left_s) else f" for up to {left_s:.0f} s")
        self._last_refusal = joined
        backoff_s = math.ldexp(_FIRST_PAUSE_S, min(self._num_rounds - 1, _MOST_DOUBLINGS))
        pause_s = min(max(backoff_s, advised_s), _MAX_PAUSE_S) * _jitter()
        return min(pause_s, left_s / 2)  # so that the last attempts come near the end, whatever the pause

    def _after_all(self, error: RequestError) -> RequestError:
        """The last refusal, with how often there was one."""
        if self._num_rounds == 1:
            return error
        passed_s = self.deadline.passed_s - self._refused_since_s
        text = f"{error}; asked {self._num_rounds} times in {passed_s:.1f} s"
        return type(error)(text, field=error.field, retry_after_s=error.retry_after_s)

    def _at_the_end(self, error: RequestError) -> RequestError:
        """An error that ends the call. A lack of time has its cause in what the time was spent on."""
        is_over = self.deadline.timeout_s - self.deadline.passed_s <= _LAST_CHANCE_S
        if not isinstance(error, DeadlineError) or not is_over or self._last_refusal is None:
            return error
        self._num_rounds += 1  # the last, which was not answered
        return self._after_all(self._last_refusal)


def _jitter() -> float:
    """Spreads out the clients that lost a server at the same time."""
    return random.uniform(0.8, 1.2)  # noqa: S311 (keeps no secret)


def _joined(refusals: list[tuple[Server, RequestError]]) -> RequestError:
    """All refusals of a round as one: of the kind of those who answered, where somebody did."""
    if len(refusals) == 1:
        return refusals[0][1]
    foremost = next((error for _, error in refusals if is_lack(error)), refusals[0][1])
    texts = [f"{server.address}: {error}" if is_lack(error) else str(error) for server, error in refusals]
    waits_s = [error.retry_after_s for _, error in refusals if error.retry_after_s is not None]
    return type(foremost)(
        "no server can answer: " + "; ".join(texts),
        field=foremost.field,
        retry_after_s=min(waits_s, default=None),
    )
