"""The calls of `AsyncClient`: every question is asked until it is answered, or its deadline is over."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterable
from contextlib import aclosing
from typing import Any, Generic, TypeVar

import grpc

from ganserve.contract.errors import CallCancelledError, DeadlineError, RequestError, UnavailableError
from ganserve.v1.generator_pb2 import SampleQuery, StreamSamplesResponse

from ._attempts import Attempts
from ._connections import CLOSED_MIDWAY, AsyncConnection, AsyncConnections
from ._core import Answer, Ask, Core
from ._deadline import Deadline, too_slow
from ._errors import ShortTraceback
from ._model_info import ModelInfo
from ._parts import MAX_IN_FLIGHT
from ._samples import Samples
from ._stream import StreamCursor

Reply = TypeVar("Reply")


class AsyncCalls:
    """As `Calls`, on an event loop."""

    def __init__(self, core: Core, connections: AsyncConnections) -> None:
        self._core = core
        self._connections = connections

    async def answer(self, ask: Ask[Answer], attempts: Attempts) -> Answer:
        """As `Calls.answer`."""
        with ShortTraceback():
            return await _Call(self._connections, ask, attempts).answer()

    async def answers_of_all(self, ask: Ask[Answer], deadline: Deadline) -> list[Answer]:
        """As `Calls.answers_of_all`."""
        with ShortTraceback():
            attempts = [self._core.attempt_at(address, deadline) for address in self._core.addresses]
            calls = [_Call(self._connections, ask, at_one) for at_one in attempts]
            answers = []
            for call in calls:
                try:
                    answers.append(await call.answer())
                except UnavailableError:
                    continue
            return answers or [await self.answer(ask, self._core.attempts(deadline))]

    async def samples(self, query: SampleQuery, deadline: Deadline) -> Samples:
        """As `Calls.samples`."""
        refresh = self._core.refresh(query)
        with ShortTraceback():
            while True:
                model = self._core.known or await self.model(deadline)
                try:
                    async with aclosing(
                        self._parts(self._core.ask_for_parts(query, model), model, deadline)
                    ) as answers:
                        return Samples.join([samples async for samples in answers])
                except RequestError as error:
                    refresh.after(error)

    async def model(self, deadline: Deadline) -> ModelInfo:
        """As `Calls.model`."""
        return await self.answer(self._core.ask_for_model(), self._core.attempts(deadline))

    async def stream(self, cursor: StreamCursor, timeout_s: float) -> AsyncIterator[Samples]:
        """As `Calls.stream`."""
        stream = _Stream(self._connections, cursor)
        with ShortTraceback():
            try:
                while cursor.unfinished:
                    try:
                        reply = await stream.next(self._core.stream_attempts(cursor, timeout_s))
                    except RequestError as error:
                        cursor.take_any_model(error)
                        self._core.forget()
                    else:
                        for samples in cursor.accept(reply.batch):
                            yield samples
            finally:
                stream.cancel()

    async def _parts(
        self, asks: Iterable[Ask[Samples]], model: ModelInfo, deadline: Deadline
    ) -> AsyncGenerator[Samples]:
        """Answers in the order of the asks, a few of which are under way at a time."""
        pending: deque[_Call[Samples]] = deque()
        try:
            for ask in asks:
                if len(pending) == MAX_IN_FLIGHT:
                    yield await pending[0].answer()
                    pending.popleft()
                attempts = self._core.part_attempts(deadline, model.digest)
                pending.append(_Call(self._connections, ask, attempts))
            for call in pending:
                yield await call.answer()
        finally:
            for call in pending:
                call.cancel()


class _Call(Generic[Answer]):
    """One question that is under way."""

    def __init__(self, connections: AsyncConnections, ask: Ask[Answer], attempts: Attempts) -> None:
        self._connections = connections
        self._ask = ask
        self._attempts = attempts
        self._send()

    async def answer(self) -> Answer:
        """Waits for the answer, and asks again where there is none. Raises RequestError."""
        while True:
            try:
                return self._ask.read(await _unless_closed(self._connection, self._reply))
            except (grpc.RpcError, RequestError) as error:
                await _wait_after(error, self._connections, self._attempts)
            self._send()

    def cancel(self) -> None:
        """Takes the question back."""
        self._reply.cancel()

    def _send(self) -> None:
        left_s = self._attempts.left_s()
        self._connection = self._connections.to(self._attempts.next_address())
        self._reply: Any = getattr(self._connection.stub, self._ask.method)(self._ask.request, timeout=left_s)


class _Stream:
    """StreamSamples calls, one after the other, that together bring what a cursor asks for."""

    def __init__(self, connections: AsyncConnections, cursor: StreamCursor) -> None:
        self._connections = connections
        self._cursor = cursor
        self._connection: AsyncConnection | None = None
        self._replies: Any = None

    async def next(self, attempts: Attempts) -> StreamSamplesResponse:
        """The next reply, from a new call where the one under way is lost. Raises RequestError."""
        if self._connection:
            attempts.go_on_at(self._connection.address)
        while True:
            if self._connection is None:
                self._connection = self._connections.to(attempts.next_address())
                self._replies = self._connection.stub.StreamSamples(self._cursor.request())
            try:
                return await self._next_within(self._connection, attempts)
            except (grpc.RpcError, RequestError) as error:
                self.cancel()
                await _wait_after(error, self._connections, attempts)

    def cancel(self) -> None:
        """Ends the call under way."""
        if self._connection:
            self._replies.cancel()
        self._connection = self._replies = None

    async def _next_within(self, connection: AsyncConnection, attempts: Attempts) -> StreamSamplesResponse:
        try:
            reading = _unless_closed(connection, self._replies.read())
            reply = await asyncio.wait_for(reading, attempts.left_s())
        except TimeoutError:
            raise DeadlineError(too_slow(attempts.deadline.timeout_s)) from None
        if not isinstance(reply, StreamSamplesResponse):
            raise self._cursor.cut_short()
        return reply


async def _wait_after(error: Exception, connections: AsyncConnections, attempts: Attempts) -> None:
    """Waits until it is time to ask again. Raises RequestError where that is no use."""
    await asyncio.sleep(attempts.pause_s(error))
    if connections.closed:
        raise CallCancelledError(CLOSED_MIDWAY) from None


async def _unless_closed(connection: AsyncConnection, reply: Awaitable[Reply]) -> Reply:
    """The reply. Raises CallCancelledError where the client was closed, which gRPC tells like a task's cancellation."""
    try:
        return await reply
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if connection.closed and not (task and task.cancelling()):
            raise CallCancelledError(CLOSED_MIDWAY) from None
        raise
