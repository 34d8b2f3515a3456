"""gRPC calls: until when they last, and how they are counted."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import grpc

from .counted_call import OK, CallObserver, CountedCall, code_of, current_call
from .metrics import MethodMetrics, Metrics

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
Answer: TypeAlias = Callable[[Any, Context], Awaitable[Any]]


def deadline_of(context: Context) -> float | None:
    """Monotonic time at which a call is over, or None."""
    remaining_s = context.time_remaining()
    return None if remaining_s is None or math.isinf(remaining_s) else time.monotonic() + remaining_s


def counted(answer: Answer, metrics: Metrics, method: MethodMetrics, observers: Sequence[CallObserver]) -> Answer:
    """Answers a call of a method and counts it, by the status that its `CountedCall` was given on the way."""

    async def answer_call(request: Any, context: Context) -> Any:
        call = CountedCall(metrics, method, context, observers)
        current_call.set(call)
        answering = answer(request, context)
        del request  # of which gRPC would keep this frame's
        try:
            reply = await answering
            call.code = call.code or OK
        except BaseException as error:
            call.code = call.code or code_of(error, deadline_of(context))
            raise
        else:
            return reply
        finally:
            call.end()

    return answer_call


def counted_decoder(decode: Callable[[bytes], Any], method: MethodMetrics) -> Callable[[bytes], Any]:
    """Decodes requests and counts their bytes."""

    def decode_request(data: bytes) -> Any:
        method.request_bytes.add(len(data))
        return decode(data)

    return decode_request


def counted_encoder(encode: Callable[[Any], bytes] | None, method: MethodMetrics) -> Callable[[Any], bytes]:
    """Encodes replies and counts their bytes; without an encoder they are bytes already."""

    def encode_reply(reply: Any) -> bytes:
        data = reply if encode is None else encode(reply)
        method.reply_bytes.add(len(data))
        return data

    return encode_reply
