"""One call over as many attempts as it takes: whom to ask, how long to wait before asking again, and when to give up.

The call's deadline is the only clock. A server that is unavailable, or that has no room and says for how long, is asked
again until then, with growing pauses, and the other servers are asked at once. A server that lacks the model, refuses
the caller or is not trusted is passed over for the others. What else a server answers is the answer.
"""

from __future__ import annotations

import logging
import math
from typing import Final

from google.protobuf.message import Message

from ganserve.client._transport.deadline import Deadline
from ganserve.client._transport.errors import is_lack, is_over_limit, request_error
from ganserve.contract.errors import AccessError, DeadlineError, OverloadedError, RequestError, UnavailableError

from .backoff import Refusal, refused
from .retry_event import OnRetry, RetryEvent, describe_request
from .servers import Server, Servers

_LAST_CHANCE_S: Final = 0.02  # with less time left there is no further attempt
_SILENT_S: Final = 1.0

_log = logging.getLogger("ganserve.client")


class Attempts:
    """The attempts at one call, or at the next reply of a stream."""

    def __init__(
        self,
        servers: Servers,
        deadline: Deadline,
        *,
        retry_for_s: float,
        digest: str = "",
        may_change: bool = False,
        on_retry: OnRetry | None = None,
    ) -> None:
        """Asks nothing yet.

        Args:
            servers: whom to ask.
            deadline: when to give up.
            retry_for_s: most seconds for which a server that refused is asked again, however far the deadline is.
            digest: the model that is asked for, where it is known.
            may_change: whether the caller can do with another model. Then it is not waited for an unavailable server
                that may have this one, once another server says that it does not.
            on_retry: is told of every question before it is asked again.
        """
        self.deadline = deadline
        self._servers = servers
        self._retry_for_s = retry_for_s
        self._digest = digest
        self._may_change = may_change
        self._on_retry = on_retry
        self._unasked: list[Server] = []  # in this round
        self._refusals: dict[str, Refusal] = {}  # the last one of each server
        self._num_asked = 0
        self._num_rounds = 0
        self._refused_since_s = math.inf
        self._last_refusal: RequestError | None = None
        self._told = False

    def next_address(self) -> str:
        """Whom to ask now."""
        if not self._unasked:
            self._unasked = self._may_be_asked() or [min(self._servers.in_order(self._digest), key=self._not_before_s)]
        self._num_asked += 1
        return self._unasked.pop(0).address

    def second_address(self, first_address: str) -> str | None:
        """Whom to ask beside the one that has not answered yet; None where nobody else could answer."""
        others = [server for server in self._may_be_asked() if server.address != first_address]
        able = [server for server in others if not server.lacks_model(self._digest)]
        if not able:
            return None
        second = next((server for server in able if server in self._unasked), able[0])
        self._unasked = [server for server in self._unasked if server is not second]
        self._num_asked += 1
        return second.address

    def go_on_at(self, address: str) -> None:
        """A server was asked already, and its answer is awaited."""
        self._unasked = [server for server in self._servers.in_order(self._digest) if server.address != address]
        self._num_asked += 1

    @property
    def is_over(self) -> bool:
        """Whether no time is left."""
        return self.deadline.passed_s >= self.deadline.timeout_s

    def left_s(self) -> float | None:
        """As `Deadline.left_s`. Raises the last refusal, where there was one, when no time is left."""
        try:
            return self.deadline.left_s()
        except DeadlineError as error:
            raise self._at_the_end(error) from None

    def pause_s(self, failure: Exception, address: str, request: Message, *, another_is_asked: bool = False) -> float:
        """Seconds to wait before the next attempt, after one that gRPC or a check of the reply ended.

        Args:
            failure: what ended it.
            address: the server that was asked.
            request: what it was asked.
            another_is_asked: whether another server, asked at the same time, may still answer.

        Raises:
            RequestError: there is to be no further attempt.
        """
        error = request_error(failure, address, self.deadline.timeout_s)
        self._learn(error, self._servers.at(address))
        if not isinstance(error, (UnavailableError, OverloadedError)) and not _is_refused_for_good(error):
            raise self._at_the_end(error) from None
        self._refusals[address] = refused(error, self._refusals.get(address), self.deadline.passed_s)
        pause_s = 0.0 if another_is_asked or self._unasked else self._pause_after_round_s()
        if self._on_retry:
            asked = describe_request(request)
            self._on_retry(
                RetryEvent(asked=asked, address=address, attempt=self._num_asked, error=error, pause_s=pause_s)
            )
        return pause_s

    def _learn(self, error: RequestError, server: Server) -> None:
        if isinstance(error, UnavailableError):
            self._servers.rest(server)
            server.lacks = set()  # what it lacked, it may have when it is back
        elif isinstance(error, OverloadedError) and error.retry_after_s:
            self._servers.rest(server, error.retry_after_s)
        elif isinstance(error, AccessError):
            self._servers.rest(server)
        elif is_lack(error):
            server.lacks.add(self._digest)
        elif is_over_limit(error):
            self._servers.ask_next(server)  # it knows its limit

    def _may_be_asked(self) -> list[Server]:
        """The servers in their order, without those that want to be left alone for longer."""
        passed_s = self.deadline.passed_s
        return [server for server in self._servers.in_order(self._digest) if self._not_before_s(server) <= passed_s]

    def _not_before_s(self, server: Server) -> float:
        refusal = self._refusals.get(server.address)
        return refusal.not_before_s if refusal else 0.0

    def _pause_after_round_s(self) -> float:
        """The pause when every server has refused. Raises RequestError where there is to be no other round."""
        self._num_rounds += 1
        refusals = list(self._refusals.values())
        there = [refusal for refusal in refusals if not isinstance(refusal.error, UnavailableError)]
        able = [refusal for refusal in refusals if not _is_refused_for_good(refusal.error)]
        joined = self._joined_refusal()
        if not able or (self._may_change and there and all(is_lack(refusal.error) for refusal in there)):
            raise joined from None
        passed_s = self.deadline.passed_s
        self._refused_since_s = min(self._refused_since_s, passed_s)
        left_s = min(self.deadline.timeout_s, self._refused_since_s + self._retry_for_s) - passed_s
        pause_s = min(refusal.wait_s(passed_s, left_s) for refusal in able)
        if left_s <= _LAST_CHANCE_S or math.isinf(pause_s):
            raise self._after_all(joined) from None
        if passed_s - self._refused_since_s >= _SILENT_S and not self._told and self._servers.may_tell():
            self._told = True
            within = "" if math.isinf(left_s) else f" for {math.ceil(left_s)} s more"
            _log.warning("%s; the call will be tried again%s", joined, within)
        self._last_refusal = joined
        return max(0.0, pause_s)

    def _joined_refusal(self) -> RequestError:
        """The last refusals of all servers as one: of the kind of those who answered, where somebody did."""
        errors = {address: refusal.error for address, refusal in self._refusals.items()}
        if len(errors) == 1:
            return next(iter(errors.values()))
        foremost = min(errors.values(), key=_rank)
        texts = [
            str(error) if isinstance(error, UnavailableError) else f"{at}: {error}" for at, error in errors.items()
        ]
        waits_s = [error.retry_after_s for error in errors.values() if error.retry_after_s is not None]
        return type(foremost)(
            "no server can answer: " + "; ".join(texts),
            field=foremost.field,
            retry_after_s=min(waits_s, default=None),
        )

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


def _is_refused_for_good(error: RequestError) -> bool:
    """Whether a server will never answer this call, so that asking it again is no use, and asking another may be."""
    return is_lack(error) or isinstance(error, AccessError)


def _rank(error: RequestError) -> int:
    """Which of several says most: a server without the model, one that refuses the caller, without room, not there."""
    if is_lack(error):
        return 0
    return 1 if isinstance(error, AccessError) else 2 if isinstance(error, OverloadedError) else 3
