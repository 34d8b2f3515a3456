"""One call for samples of `Client`, in as many requests as it takes."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator

from ganserve.client._queries.parts import MAX_IN_FLIGHT
from ganserve.client._samples.model_info import ModelInfo
from ganserve.client._samples.samples import Samples
from ganserve.client._transport.ask import Answer, Ask
from ganserve.client._transport.connections import CLOSED_MIDWAY, Connections
from ganserve.client._transport.deadline import Deadline
from ganserve.contract.errors import CallCancelledError, RequestError

from .attempts import Attempts
from .call import Call
from .core import Core, grace_s
from .partial import Assembly


class SamplesCall:
    """All samples of a query, by one model."""

    def __init__(self, core: Core, connections: Connections, assembly: Assembly, deadline: Deadline) -> None:
        """Sends nothing yet."""
        self._core = core
        self._connections = connections
        self._assembly = assembly
        self._deadline = deadline
        self._refresh = core.refresh(assembly.query)
        self._unsent: Iterator[tuple[int, Ask[Samples]]] | None = None
        self._under_way: deque[tuple[int, Call[Samples]]] = deque()
        self._has_begun = False
        self._process = os.getpid()

    def begin(self) -> None:
        """Sends the first requests ahead of `samples`, which does all else: it asks again, and tells what is wrong."""
        try:
            if model := self._core.known_for(self._assembly.query):
                self._start(model)
                self._send()
        except RequestError:
            self.cancel()

    def samples(self) -> Samples:
        """Waits for the samples, for the whole time of the deadline from now on. Raises RequestError."""
        self._deadline.restart()
        self._lose_in_fork()
        try:
            while self._assembly.gaps():
                if self._unsent is None:
                    self._start(self._core.known_for(self._assembly.query) or self._find_model())
                try:
                    self._take_parts()
                except RequestError as error:
                    self._refresh.after(error)
        except RequestError as error:
            raise self._assembly.failed(error) from None
        return self._assembly.whole()

    def cancel(self) -> None:
        """Takes back what is under way. Calls of a process that this one was forked from are left alone."""
        self._lose_in_fork()
        for _, call in self._under_way:
            call.cancel()
        self._under_way.clear()
        self._unsent = None

    def _find_model(self) -> ModelInfo:
        return self._call(self._core.ask_for_model(), self._core.attempts(self._deadline)).answer()

    def _start(self, model: ModelInfo) -> None:
        self._assembly.take_model(model)
        self._unsent = self._core.ask_for_parts(self._assembly, model)

    def _send(self) -> None:
        """Sends as many requests as may be under way."""
        while self._unsent and len(self._under_way) < MAX_IN_FLIGHT and (part := next(self._unsent, None)):
            if self._has_begun and self._connections.closed:
                raise CallCancelledError(CLOSED_MIDWAY)
            start, ask = part
            attempts = self._core.part_attempts(self._deadline, self._assembly.digest)
            self._under_way.append((start, self._call(ask, attempts)))
            self._has_begun = True

    def _take_parts(self) -> None:
        """Takes all that is missing, in parts, a few of which are under way at a time.

        Where one of them fails, those under way are waited for only briefly. Raises its RequestError.
        """
        try:
            self._send()
            while self._under_way:
                start, call = self._under_way[0]
                self._assembly.add(start, call.answer())
                self._under_way.popleft()
                self._send()
        except RequestError as error:
            end_s = time.monotonic() + grace_s(error)
            for start, call in self._under_way:
                if samples := call.answer_within(end_s - time.monotonic()):
                    self._assembly.add(start, samples)
            raise
        finally:
            self.cancel()

    def _call(self, ask: Ask[Answer], attempts: Attempts) -> Call[Answer]:
        return Call(self._connections, ask, attempts, self._core.hedge_after_s)

    def _lose_in_fork(self) -> None:
        if self._process != os.getpid():
            self._process = os.getpid()
            self._under_way = deque()
            self._unsent = None
