"""The calls of `Client`: every question is asked until it is answered, or its deadline is over."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Generic, TypeVar

import grpc

from ganserve.contract.errors import CallCancelledError, DeadlineError, RequestError, UnavailableError
from ganserve.v1.generator_pb2 import SampleQuery, StreamSamplesResponse
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub

from ._attempts import Attempts
from ._connections import CLOSED_MIDWAY, Connection, Connections
from ._core import Answer, Ask, Core
from ._deadline import Deadline, too_slow
from ._errors import ShortTraceback
from ._model_info import ModelInfo
from ._parts import MAX_IN_FLIGHT
from ._samples import Samples
from ._stream import StreamCursor
from ._watchdog import watching

Begun = TypeVar("Begun")

_inherited: Final[list[Any]] = []  # calls of this process's parent, which are never touched again


class Calls:
    """Blocking calls to the servers of a client."""

    def __init__(self, core: Core, connections: Connections) -> None:
        self._core = core
        self._connections = connections

    def answer(self, ask: Ask[Answer], attempts: Attempts) -> Answer:
        """What a server answers. Raises RequestError."""
        with ShortTraceback():
            return _Call(self._connections, ask, attempts).answer()

    def answers_of_all(self, ask: Ask[Answer], deadline: Deadline) -> list[Answer]:
        """What each server answers that is there now; where none is, what the first one answers that comes."""
        with ShortTraceback():
            attempts = [self._core.attempt_at(address, deadline) for address in self._core.addresses]
            calls = [_Call(self._connections, ask, at_one) for at_one in attempts]
            answers = []
            for call in calls:
                try:
                    answers.append(call.answer())
                except UnavailableError:
                    continue
            return answers or [self.answer(ask, self._core.attempts(deadline))]

    def samples(self, query: SampleQuery, deadline: Deadline) -> Samples:
        """All samples of a query, by one model."""
        refresh = self._core.refresh(query)
        with ShortTraceback():
            while True:
                model = self._core.known or self.model(deadline)
                try:
                    return Samples.join(list(self._parts(self._core.ask_for_parts(query, model), model, deadline)))
                except RequestError as error:
                    refresh.after(error)

    def model(self, deadline: Deadline) -> ModelInfo:
        """The client's model, as a server tells it now."""
        return self.answer(self._core.ask_for_model(), self._core.attempts(deadline))

    def stream(self, cursor: StreamCursor, timeout_s: float) -> Iterator[Samples]:
        """The samples of a stream. The wait for each reply has a deadline of its own."""
        stream = _Stream(self._connections, cursor)
        with ShortTraceback():
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

    def _parts(self, asks: Iterable[Ask[Samples]], model: ModelInfo, deadline: Deadline) -> Iterator[Samples]:
        """Answers in the order of the asks, a few of which are under way at a time."""
        pending: deque[_Call[Samples]] = deque()
        try:
            for ask in asks:
                if len(pending) == MAX_IN_FLIGHT:
                    yield pending[0].answer()
                    pending.popleft()
                attempts = self._core.part_attempts(deadline, model.digest)
                pending.append(_Call(self._connections, ask, attempts))
            for call in pending:
                yield call.answer()
        finally:
            for call in pending:
                call.cancel()


class _Call(Generic[Answer]):
    """One question that is under way."""

    def __init__(self, connections: Connections, ask: Ask[Answer], attempts: Attempts) -> None:
        self._connections = connections
        self._ask = ask
        self._attempts = attempts
        self._send()

    def answer(self) -> Answer:
        """Waits for the answer, and asks again where there is none. Raises RequestError."""
        while True:
            try:
                return self._ask.read(self._reply.result())
            except (grpc.RpcError, RequestError) as error:
                _wait_after(error, self._connections, self._connection, self._attempts)
            self._send()

    def cancel(self) -> None:
        """Takes the question back."""
        self._reply.cancel()

    def _send(self) -> None:
        left_s = self._attempts.left_s()

        def send(stub: GeneratorServiceStub) -> grpc.Future[Any]:
            future: grpc.Future[Any] = getattr(stub, self._ask.method).future(self._ask.request, timeout=left_s)
            return future

        self._connection, self._reply = _begin(self._connections, self._attempts, send)


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
            if connection is None or connection.ended_by_fork:
                connection = self._begin(attempts)
            try:
                return self._next_within(attempts.left_s(), attempts.deadline.timeout_s)
            except (grpc.RpcError, RequestError) as error:
                self.cancel()
                _wait_after(error, self._connections, connection, attempts)

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
        self._connection, self._replies = _begin(self._connections, attempts, lambda stub: stub.StreamSamples(request))
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


def _wait_after(error: Exception, connections: Connections, connection: Connection, attempts: Attempts) -> None:
    """Waits until it is time to ask again. Raises RequestError where that is no use."""
    if connection.ended_by_fork:
        return
    if not connections.closed:
        time.sleep(attempts.pause_s(error))
    if connections.closed:
        raise CallCancelledError(CLOSED_MIDWAY) from None


def _begin(
    connections: Connections, attempts: Attempts, begin: Callable[[GeneratorServiceStub], Begun]
) -> tuple[Connection, Begun]:
    """Begins a call to whoever's turn it is."""
    while True:
        connection = connections.to(attempts.next_address())
        try:
            return connection, begin(connection.stub)
        except ValueError:  # which gRPC raises where the channel was closed in between
            if not connection.closed:
                raise
