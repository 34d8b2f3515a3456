"""The calls of `Client`: every question is asked until it is answered, or its deadline is over."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, Final

import grpc

from ganserve.client._samples.model_info import ModelInfo
from ganserve.client._samples.samples import Samples
from ganserve.client._transport.ask import Answer, Ask
from ganserve.client._transport.connections import Connection, Connections
from ganserve.client._transport.deadline import Deadline, too_slow
from ganserve.client._transport.errors import ShortTraceback
from ganserve.client._transport.watchdog import watching
from ganserve.contract.errors import AccessError, DeadlineError, RequestError, UnavailableError
from ganserve.v1.generator_pb2 import SampleQuery, StreamSamplesResponse

from .attempts import Attempts
from .call import Call, wait_after
from .core import Core
from .partial import Assembly, Partial
from .profile import CallProfile, Profile, describe
from .samples_call import SamplesCall
from .stream_cursor import StreamCursor

_inherited: Final[list[Any]] = []  # calls of this process's parent, which are never touched again


class Calls:
    """Blocking calls to the servers of a client."""

    def __init__(self, core: Core, connections: Connections) -> None:
        self._core = core
        self._connections = connections

    def answer(self, ask: Ask[Answer], attempts: Attempts) -> Answer:
        """What a server answers. Raises RequestError."""
        with ShortTraceback():
            return Call(self._connections, ask, attempts, self._core.hedge_after_s).answer()

    def answers_of_all(self, ask: Ask[Answer], deadline: Deadline) -> list[Answer]:
        """What each server answers that is there now and does; where none is, what the first one answers that comes."""
        with ShortTraceback():
            attempts = [self._core.attempt_at(address, deadline) for address in self._core.addresses]
            calls = [Call(self._connections, ask, at_one) for at_one in attempts]
            answers = []
            for call in calls:
                try:
                    answers.append(call.answer())
                except (UnavailableError, AccessError):
                    continue
            return answers or [self.answer(ask, self._core.attempts(deadline))]

    def samples(self, query: SampleQuery, deadline: Deadline) -> Samples:
        """All samples of a query, by one model."""
        with ShortTraceback():
            self.settle(query, deadline)
            return self._samples_call(Assembly(query), deadline).samples()

    def settle(self, query: SampleQuery, deadline: Deadline) -> None:
        """Has a query ask for the very models that the names beside its own stand for now."""
        for ask in self._core.ask_for_further(query):
            self.answer(ask, self._core.attempts_at_any(deadline))

    def begin(self, query: SampleQuery, deadline: Deadline) -> SamplesCall:
        """As `samples`, of a query that is settled, ahead of whoever waits for them."""
        call = self._samples_call(Assembly(query), deadline)
        call.begin()
        return call

    def rest(self, partial: Partial, deadline: Deadline) -> Samples:
        """All samples of a call that failed. Those that came before are not asked for again."""
        with ShortTraceback():
            self.settle(partial.query, deadline)
            return self._samples_call(Assembly.of_rest(partial), deadline).samples()

    def model(self, deadline: Deadline) -> ModelInfo:
        """The client's model, as a server tells it now."""
        return self.answer(self._core.ask_for_model(), self._core.attempts(deadline))

    def model_of(self, query: SampleQuery, deadline: Deadline) -> ModelInfo:
        """As `model`, with the query's other models settled too."""
        self.settle(query, deadline)
        return self.model(deadline)

    def profile(self, query: SampleQuery, repeats: int, new_deadline: Callable[[], Deadline]) -> Profile:
        """Where the time of calls for the samples of a query goes, each with a deadline of its own.

        One that is not counted goes first: it opens the connection.
        """
        with ShortTraceback():
            model = self.model(new_deadline())
            calls = [self._timed(query, model, new_deadline()) for _ in range(1 + repeats)]
            return Profile(description=describe(query, calls[0][0]), calls=[call for _, call in calls[1:]])

    def _timed(self, query: SampleQuery, model: ModelInfo, deadline: Deadline) -> tuple[Samples, CallProfile]:
        attempts = self._core.part_attempts(deadline, model.digest)
        reply, way = Call(self._connections, self._core.ask_for_profile(query, model), attempts).answer_and_way()
        return reply.samples, reply.profile(way.sent_s, way.reply.trailing_metadata())

    def stream(self, cursor: StreamCursor, timeout_s: float) -> Iterator[Samples]:
        """The samples of a stream. The wait for each reply has a deadline of its own."""
        stream = _Stream(self._connections, cursor)
        with ShortTraceback():
            self.settle(cursor.query, Deadline(timeout_s))
            try:
                while cursor.unfinished:
                    try:
                        reply = stream.next(self._core.stream_attempts(cursor, timeout_s))
                    except RequestError as error:
                        cursor.take_any_model(error)
                        self._core.forget()
                    else:
                        yield from cursor.accept(reply.batch)
            finally:
                stream.cancel()

    def _samples_call(self, assembly: Assembly, deadline: Deadline) -> SamplesCall:
        return SamplesCall(self._core, self._connections, assembly, deadline)


class _Stream:
    """StreamSamples calls, one after the other, that together bring what a cursor asks for."""

    def __init__(self, connections: Connections, cursor: StreamCursor) -> None:
        self._connections = connections
        self._cursor = cursor
        self._connection: Connection | None = None
        self._replies: Any = None
        self._process = 0

    def next(self, attempts: Attempts) -> StreamSamplesResponse:
        """The next reply, from a new call where the one under way is lost. Raises RequestError."""
        if self._connection:
            attempts.go_on_at(self._connection.address)
        while True:
            connection = self._connection
            if connection is None or connection.replaced:
                connection = self._begin(attempts)
            try:
                return self._next_within(attempts.left_s(), attempts.deadline.timeout_s)
            except (grpc.RpcError, RequestError) as error:
                self.cancel()
                wait_after(error, self._connections, connection, attempts, self._cursor.request())

    def cancel(self) -> None:
        """Ends the call under way. One of a parent process is left alone: its locks may have been held at the fork."""
        if self._process == os.getpid():
            self._replies.cancel()
        elif self._process:
            _inherited.append(self._replies)
        self._connection, self._replies, self._process = None, None, 0

    def _begin(self, attempts: Attempts) -> Connection:
        self.cancel()
        request = self._cursor.request()
        self._connection, self._replies = self._connections.begin(
            attempts.next_address(), lambda connection: connection.stream(request)
        )
        self._process = os.getpid()
        return self._connection

    def _next_within(self, left_s: float | None, timeout_s: float) -> StreamSamplesResponse:
        with watching(left_s, self._replies.cancel) as watch:
            try:
                reply: StreamSamplesResponse | None = next(self._replies, None)
            except grpc.RpcError:
                if watch.late:
                    raise DeadlineError(too_slow(timeout_s)) from None
                raise
        if reply is None:
            raise self._cursor.cut_short()
        return reply
