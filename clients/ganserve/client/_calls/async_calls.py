"""The calls of `AsyncClient`: every question is asked until it is answered, or its deadline is over."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from ganserve.client._queries.parts import MAX_IN_FLIGHT
from ganserve.client._samples.model_info import ModelInfo
from ganserve.client._samples.samples import Samples
from ganserve.client._transport.ask import Answer, Ask
from ganserve.client._transport.connections import CLOSED_MIDWAY, AsyncConnection, AsyncConnections
from ganserve.client._transport.deadline import Deadline, too_slow
from ganserve.client._transport.errors import ShortTraceback
from ganserve.contract.errors import AccessError, CallCancelledError, DeadlineError, RequestError, UnavailableError
from ganserve.v1.generator_pb2 import SampleQuery, StreamSamplesResponse

from .async_call import AsyncCall, unless_closed, wait_after
from .attempts import Attempts
from .core import Core, grace_s
from .partial import Assembly, Partial
from .profile import CallProfile, Profile, describe
from .stream_cursor import StreamCursor


class AsyncCalls:
    """As `Calls`, on an event loop."""

    def __init__(self, core: Core, connections: AsyncConnections) -> None:
        self._core = core
        self._connections = connections

    async def answer(self, ask: Ask[Answer], attempts: Attempts) -> Answer:
        """As `Calls.answer`."""
        with ShortTraceback():
            return await AsyncCall(self._connections, ask, attempts, self._core.hedge_after_s).answer()

    async def answers_of_all(self, ask: Ask[Answer], deadline: Deadline) -> list[Answer]:
        """As `Calls.answers_of_all`."""
        with ShortTraceback():
            attempts = [self._core.attempt_at(address, deadline) for address in self._core.addresses]
            calls = [AsyncCall(self._connections, ask, at_one) for at_one in attempts]
            answers = []
            for call in calls:
                try:
                    answers.append(await call.answer())
                except (UnavailableError, AccessError):
                    continue
            return answers or [await self.answer(ask, self._core.attempts(deadline))]

    async def samples(self, query: SampleQuery, deadline: Deadline) -> Samples:
        """As `Calls.samples`."""
        with ShortTraceback():
            await self.settle(query, deadline)
            return await self._assemble(Assembly(query), deadline)

    async def settle(self, query: SampleQuery, deadline: Deadline) -> None:
        """As `Calls.settle`."""
        for ask in self._core.ask_for_further(query):
            await self.answer(ask, self._core.attempts_at_any(deadline))

    async def rest(self, partial: Partial, deadline: Deadline) -> Samples:
        """As `Calls.rest`."""
        with ShortTraceback():
            await self.settle(partial.query, deadline)
            return await self._assemble(Assembly.of_rest(partial), deadline)

    async def model(self, deadline: Deadline) -> ModelInfo:
        """As `Calls.model`."""
        return await self.answer(self._core.ask_for_model(), self._core.attempts(deadline))

    async def model_of(self, query: SampleQuery, deadline: Deadline) -> ModelInfo:
        """As `Calls.model_of`."""
        await self.settle(query, deadline)
        return await self.model(deadline)

    async def profile(self, query: SampleQuery, repeats: int, new_deadline: Callable[[], Deadline]) -> Profile:
        """As `Calls.profile`."""
        with ShortTraceback():
            model = await self.model(new_deadline())
            calls = [await self._timed(query, model, new_deadline()) for _ in range(1 + repeats)]
            return Profile(description=describe(query, calls[0][0]), calls=[call for _, call in calls[1:]])

    async def _timed(self, query: SampleQuery, model: ModelInfo, deadline: Deadline) -> tuple[Samples, CallProfile]:
        attempts = self._core.part_attempts(deadline, model.digest)
        call = AsyncCall(self._connections, self._core.ask_for_profile(query, model), attempts)
        reply, way = await call.answer_and_way()
        return reply.samples, reply.profile(way.sent_s, await way.reply.trailing_metadata())

    async def stream(self, cursor: StreamCursor, timeout_s: float) -> AsyncIterator[Samples]:
        """As `Calls.stream`."""
        stream = _Stream(self._connections, cursor)
        with ShortTraceback():
            await self.settle(cursor.query, Deadline(timeout_s))
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

    async def _assemble(self, assembly: Assembly, deadline: Deadline) -> Samples:
        refresh = self._core.refresh(assembly.query)
        try:
            while assembly.gaps():
                model = self._core.known_for(assembly.query) or await self.model(deadline)
                assembly.take_model(model)
                try:
                    await self._assemble_parts(assembly, model, deadline)
                except RequestError as error:
                    refresh.after(error)
        except RequestError as error:
            raise assembly.failed(error) from None
        return assembly.whole()

    async def _assemble_parts(self, assembly: Assembly, model: ModelInfo, deadline: Deadline) -> None:
        """As `SamplesCall` does it for threads: in parts, a few of which are under way at a time."""
        pending: deque[tuple[int, AsyncCall[Samples]]] = deque()
        try:
            for start, ask in self._core.ask_for_parts(assembly, model):
                if len(pending) == MAX_IN_FLIGHT:
                    await _take_first(pending, assembly)
                    if self._connections.closed:
                        raise CallCancelledError(CLOSED_MIDWAY)
                attempts = self._core.part_attempts(deadline, assembly.digest)
                pending.append((start, AsyncCall(self._connections, ask, attempts, self._core.hedge_after_s)))
            while pending:
                await _take_first(pending, assembly)
        except RequestError as error:
            end_s = time.monotonic() + grace_s(error)
            for start, call in pending:
                if samples := await call.answer_within(end_s - time.monotonic()):
                    assembly.add(start, samples)
            raise
        finally:
            for _, call in pending:
                call.cancel()


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
            connection = self._connection
            if connection is None:
                connection = self._connections.to(attempts.next_address())
                self._replies = connection.stream(self._cursor.request())
                self._connection = connection
            try:
                return await self._next_within(connection, attempts)
            except (grpc.RpcError, RequestError) as error:
                self.cancel()
                await wait_after(error, self._connections, connection, attempts, self._cursor.request())

    def cancel(self) -> None:
        """Ends the call under way."""
        if self._connection:
            self._replies.cancel()
        self._connection = self._replies = None

    async def _next_within(self, connection: AsyncConnection, attempts: Attempts) -> StreamSamplesResponse:
        try:
            reading = unless_closed(connection, self._replies.read())
            reply = await asyncio.wait_for(reading, attempts.left_s())
        except TimeoutError:
            raise DeadlineError(too_slow(attempts.deadline.timeout_s)) from None
        if not isinstance(reply, StreamSamplesResponse):
            raise self._cursor.cut_short()
        return reply


async def _take_first(pending: deque[tuple[int, AsyncCall[Samples]]], assembly: Assembly) -> None:
    start, call = pending[0]
    assembly.add(start, await call.answer())
    pending.popleft()
