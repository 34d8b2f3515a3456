"""The loops that put load on a server. Each is one turn, and ends when all that it asked has ended.

In a closed loop callers wait for their answer before they ask again, so a slow server is asked less. In an open loop
requests come when they come, as those of many users do, whatever became of the ones before; their latency counts from
when they were due, so that neither a server that stalls nor a late load generator hides what users would have waited.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Iterator
from typing import Any, Final

import grpc

from ganserve.client._transport.ask import Metadata
from ganserve.contract.grpc_keys import STATUS_DETAILS_KEY

from .outcomes import Outcomes
from .requests import STREAM_SAMPLES, RequestKind, Requests

_REFUSED: Final = grpc.StatusCode.RESOURCE_EXHAUSTED
_OVERLOAD: Final = (_REFUSED, grpc.StatusCode.DEADLINE_EXCEEDED)
_ADVICE: Final = b"google.rpc.RetryInfo"
_PAUSE_S: Final = 0.01


async def closed_loop(
    channel: grpc.aio.Channel,
    kind: RequestKind,
    *,
    num_callers: int,
    turn_s: float,
    timeout_s: float,
    metadata: Metadata = (),
) -> Outcomes:
    """Callers that ask again as soon as they are answered, and a moment after they are refused.

    Args:
        channel: to the server.
        kind: what they ask for.
        num_callers: how many ask at a time; of a kind whose requests travel together, how many calls.
        turn_s: seconds for which they begin calls; each makes at least one.
        timeout_s: deadline of a call.
        metadata: what is sent with every call.

    Raises:
        grpc.aio.AioRpcError: a call failed for another reason than overload.
    """
    turn = _Turn(channel, kind, metadata)

    async def call_repeatedly() -> None:
        while True:
            error = await turn.call(turn.now_s(), timeout_s)
            if error is not None:
                if error.code() not in _OVERLOAD:
                    raise error
                await asyncio.sleep(_PAUSE_S)
            if turn.now_s() >= turn_s:
                break

    try:
        async with asyncio.TaskGroup() as callers:
            for _ in range(num_callers):
                callers.create_task(call_repeatedly())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return turn.ended()


async def open_loop(
    channel: grpc.aio.Channel,
    kind: RequestKind,
    *,
    calls_per_s: float,
    turn_s: float,
    deadline_s: float,
    metadata: Metadata = (),
) -> Outcomes:
    """Calls that arrive as a Poisson process.

    Args:
        channel: to the server.
        kind: what each asks for.
        calls_per_s: mean rate of arrival.
        turn_s: seconds for which they arrive. What was due and could not be sent by then is left unsent.
        deadline_s: deadline of a call, from when it is sent.
        metadata: what is sent with every call.
    """
    turn = _Turn(channel, kind, metadata)
    async with asyncio.TaskGroup() as calls:
        for due_s in _arrivals(calls_per_s, turn_s):
            await asyncio.sleep(max(0.0, due_s - turn.now_s()))
            if turn.now_s() >= turn_s:
                turn.outcomes.num_unsent += 1
            else:
                calls.create_task(turn.call(due_s, deadline_s))
    return turn.ended(turn_s)


async def streams(
    channel: grpc.aio.Channel,
    kind: RequestKind,
    *,
    num_samples: int,
    turn_s: float,
    timeout_s: float,
    metadata: Metadata = (),
) -> Outcomes:
    """Streams of so many samples, one after the other, each read to its end as fast as it comes.

    Args:
        channel: to the server.
        kind: whose samples; a stream has as many as `num_samples` says.
        num_samples: samples a stream.
        turn_s: seconds for which streams are begun; at least one is.
        timeout_s: deadline of a stream.
        metadata: what is sent with every call.

    Raises:
        grpc.aio.AioRpcError: one did not end well.
    """
    turn = _Turn(channel, kind, metadata)
    begin: Any = channel.unary_stream(STREAM_SAMPLES)
    while not turn.outcomes.answered or turn.now_s() < turn_s:
        due_s = turn.now_s()
        async for _ in begin(turn.requests.take_stream(num_samples), timeout=timeout_s, metadata=metadata):
            pass
        turn.note_answer(due_s, num_samples)
    return turn.ended()


def _arrivals(calls_per_s: float, turn_s: float) -> Iterator[float]:
    """When the calls of a Poisson process are due."""
    draw = random.Random(secrets.randbits(64))  # noqa: S311 (keeps no secret)
    due_s = draw.expovariate(calls_per_s)
    while due_s < turn_s:
        yield due_s
        due_s += draw.expovariate(calls_per_s)


class _Turn:
    """Makes calls and notes what becomes of them."""

    def __init__(self, channel: grpc.aio.Channel, kind: RequestKind, metadata: Metadata) -> None:
        self.outcomes = Outcomes(turn_s=0.0)
        self.requests = Requests(kind)
        self._metadata = metadata
        self._call: Any = channel.unary_unary(kind.method)
        self._start_cpu_s = time.process_time()
        self._start_s = time.perf_counter()

    def now_s(self) -> float:
        """Seconds since the turn began."""
        return time.perf_counter() - self._start_s

    async def call(self, due_s: float, timeout_s: float) -> grpc.aio.AioRpcError | None:
        """Makes a call that was due at a time, and gives the error that it ended with."""
        sent_s = self.now_s()
        self.outcomes.late_s.append(sent_s - due_s)
        try:
            reply = await self._call(self.requests.take(), timeout=timeout_s, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            self._note_error(error, self.now_s() - sent_s)
            return error
        answer = self.requests.read(reply)
        if answer.refusal is None:
            self.note_answer(due_s, answer.num_samples)
        else:
            self.outcomes.num_samples += answer.num_samples
            self._note_end(*answer.refusal)
        return None

    def note_answer(self, due_s: float, num_samples: int) -> None:
        """All of a call that was due at a time has come."""
        self.outcomes.answered.append((due_s, self.now_s() - due_s))
        self.outcomes.codes["OK"] += 1
        self.outcomes.num_samples += num_samples

    def ended(self, turn_s: float | None = None) -> Outcomes:
        """What became of all. Rates count so many seconds, or those until the last answer."""
        last_s = max((due_s + wait_s for due_s, wait_s in self.outcomes.answered), default=0.0)
        self.outcomes.turn_s = turn_s or last_s or self.now_s()
        self.outcomes.cpu_s = time.process_time() - self._start_cpu_s
        return self.outcomes

    def _note_end(self, code: str, reason: str) -> None:
        self.outcomes.codes[code] += 1
        self.outcomes.reasons.setdefault(code, reason)

    def _note_error(self, error: grpc.aio.AioRpcError, wait_s: float) -> None:
        self._note_end(error.code().name, error.details() or "")
        if error.code() is _REFUSED:
            self.outcomes.refused_s.append(wait_s)
            details = (value for key, value in error.trailing_metadata() or () if key == STATUS_DETAILS_KEY)
            self.outcomes.num_without_advice += _ADVICE not in next(details, b"")
