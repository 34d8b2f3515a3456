"""One GenerateMany call: what is sent of several calls, and what each is answered with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import grpc

from ganserve.contract.grpc_keys import STATUS_DETAILS_KEY
from ganserve.v1.generator_pb2 import (
    GenerateManyRequest,
    GenerateManyResponse,
    GenerateRequest,
    GenerateResponse,
    Outcome,
    TimedRequest,
)

from .errors import EndedCall
from .gathering import Passenger

_FEWEST_TOGETHER = 2
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}

Answer = GenerateResponse | EndedCall


def group_left_s(group: Sequence[Passenger]) -> float | None:
    """Seconds left for the last of them; None without a bound."""
    lefts_s = [one.left_s() for one in group]
    return None if None in lefts_s else max(left_s for left_s in lefts_s if left_s is not None)


def group_request(group: Sequence[Passenger]) -> GenerateRequest | GenerateManyRequest:
    """What is sent for calls that travel together. A call without company is sent as it is."""
    if len(group) < _FEWEST_TOGETHER:
        return group[0].request
    return GenerateManyRequest(requests=[TimedRequest(request=one.request, remaining_s=one.left_s()) for one in group])


def answers(reply: GenerateResponse | GenerateManyResponse, num_calls: int) -> list[Answer]:
    """What each of the calls is answered with."""
    if isinstance(reply, GenerateResponse):
        return [reply]
    if len(reply.outcomes) != num_calls:
        torn = f"the reply holds {len(reply.outcomes)} outcomes where {num_calls} were asked for"
        return [EndedCall(grpc.StatusCode.INTERNAL, torn) for _ in range(num_calls)]
    return [_answer(outcome) for outcome in reply.outcomes]


def _answer(outcome: Outcome) -> Answer:
    if outcome.HasField("response"):
        return outcome.response
    refusal = outcome.refusal
    return EndedCall(
        _CODES.get(refusal.code or -1, grpc.StatusCode.UNKNOWN),
        refusal.message,
        ((STATUS_DETAILS_KEY, refusal.SerializeToString()),),
    )


def is_unknown(request: object, error: Exception) -> bool:
    """Whether the server does not know GenerateMany."""
    code = getattr(error, "code", lambda: None)()
    return isinstance(request, GenerateManyRequest) and code is grpc.StatusCode.UNIMPLEMENTED
