"""The requests of one ModelStreamInfer call. What is wrong with one of them ends that one alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing

from ganserve.serving.answers import Answers
from ganserve.serving.callers import caller_of
from ganserve.serving.grpc_calls import Context
from ganserve.serving.scheduler import Priority
from ganserve.serving.status import as_request_error, status_text

from .inference_pb2 import ModelInferRequest
from .ordered import Begun, Replies
from .replies import frame_error, frame_part
from .requests import Ask, read_request


class StreamedRequests:
    """Gives the replies to requests, as serialised ModelStreamInferResponses."""

    def __init__(self, answers: Answers, context: Context) -> None:
        self._answers = answers
        self._context = context

    async def begin(self, request: ModelInferRequest) -> Begun:
        """The replies to a request: one, or several where its samples do not fit it."""
        try:
            ask = await read_request(request)
            limits = self._answers.find(ask.query.model, field="query.model").limits
        except Exception as error:  # noqa: BLE001 - it is told to the caller
            return Begun(_refuse(request, error), is_long=False)
        if ask.count > limits.samples_per_request:
            return Begun(_refusing(request, self._parts(request, ask)), is_long=True)
        return Begun(_refusing(request, self._whole(request, ask)), is_long=False)

    async def _whole(self, request: ModelInferRequest, ask: Ask) -> Replies:
        """All samples in one reply, whose bytes are given back once it has been sent."""
        acts: list[Callable[[], None]] = []
        try:
            answer = await self._answers.samples(ask.query, ask.adjust(caller_of(self._context)), acts.append)
            yield frame_part(answer, request, is_final=True)
        finally:
            for act in acts:
                act()

    async def _parts(self, request: ModelInferRequest, ask: Ask) -> Replies:
        caller = ask.adjust(caller_of(self._context, Priority.BULK))
        async with aclosing(self._answers.stream(ask.query, caller, None)) as parts:
            async for part in parts:
                yield frame_part(part, request, is_final=part.made.start + len(part.made.rows) == part.source.count)


async def _refusing(request: ModelInferRequest, replies: Replies) -> Replies:
    """The replies, and behind them the error that they end with, if any."""
    try:
        async with aclosing(replies):
            async for reply in replies:
                yield reply
    except Exception as error:  # noqa: BLE001 - it is told to the caller
        yield _refusal(request, error)


async def _refuse(request: ModelInferRequest, error: Exception) -> Replies:
    yield _refusal(request, error)


def _refusal(request: ModelInferRequest, error: Exception) -> bytes:
    return frame_error(status_text(as_request_error(error)), request)
