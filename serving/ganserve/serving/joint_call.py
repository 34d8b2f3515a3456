"""Several small requests in one call: each is answered, or refused, as if it had been sent by itself."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from ganserve.contract.errors import DeadlineError, InvalidRequestError
from ganserve.v1.generator_pb2 import GenerateRequest, Refusal, TimedRequest

from .status import as_request_error, refusal

_MOST_REQUESTS: Final = 256

Answer = Callable[[GenerateRequest, float | None], Awaitable[bytes]]


async def answer_jointly(
    requests: Sequence[TimedRequest], deadline_s: float | None, answer: Answer
) -> list[bytes | Refusal]:
    """A serialised GenerateResponse or a refusal for each request, in order.

    Args:
        requests: at least one.
        deadline_s: monotonic time at which the call ends, and with it all of them; or None.
        answer: answers one of them, for which there is time until a monotonic time, or for ever.

    Raises:
        InvalidRequestError: no request, or too many.
    """
    if not 0 < len(requests) <= _MOST_REQUESTS:
        raise InvalidRequestError(
            f"{len(requests)} requests in one call; send 1 to {_MOST_REQUESTS} of them", field="requests"
        )
    now_s = time.monotonic()
    return await asyncio.gather(*(_outcome(one.request, _earlier(deadline_s, one, now_s), answer) for one in requests))


async def _outcome(request: GenerateRequest, deadline_s: float | None, answer: Answer) -> bytes | Refusal:
    try:
        async with asyncio.timeout(None if deadline_s is None else deadline_s - time.monotonic()):
            return await answer(request, deadline_s)
    except TimeoutError:
        return refusal(DeadlineError("the deadline passed before the samples were made; allow more time"))
    except Exception as error:  # noqa: BLE001 - what becomes of one request must not reach the others
        return refusal(as_request_error(error))


def _earlier(deadline_s: float | None, one: TimedRequest, now_s: float) -> float | None:
    """When the samples of one request are worth nothing any more."""
    if not one.HasField("remaining_s") or one.remaining_s == math.inf:
        return deadline_s
    own_s = now_s + max(0.0, one.remaining_s)
    return own_s if deadline_s is None else min(own_s, deadline_s)
