"""Calls that end together: all of a client's when it is closed, or some of them before."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from google.protobuf.message import Message

from ganserve.client._transport.connections import CLOSED_MIDWAY, Connection, Connections
from ganserve.contract.errors import CallCancelledError

from .attempts import Attempts

Begun = TypeVar("Begun")

LOOK_EVERY_S: Final = 0.1
"""How often a pause looks whether its client has been closed."""


# The replies that are waited for. A forked child keeps those of its parent for as long as it lives: their locks may
# have been held at the fork, and gRPC takes them where a reply is freed.
_under_way: Final[dict[Any, tuple[Scope, int]]] = {}


class Scope:
    """Where calls are begun, and by which they are ended. Safe to share between threads."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._ended = False

    @property
    def closed(self) -> bool:
        """Whether nothing may be asked any more."""
        return self._ended or self._connections.closed

    def begin(self, address: str, begin: Callable[[Connection], Begun]) -> tuple[Connection, Begun]:
        """Begins a call. Raises RuntimeError where the client is closed."""
        while True:
            connection = self._connections.to(address)
            try:
                return connection, begin(connection)
            except ValueError:  # which gRPC raises where the channel was closed in between
                if not connection.closed:
                    raise

    def wait_after(
        self,
        error: Exception,
        connection: Connection,
        attempts: Attempts,
        request: Message,
        *,
        another_is_asked: bool = False,
    ) -> None:
        """Waits until it is time to ask again. Raises RequestError where that is no use."""
        if connection.ended_by_fork:
            return
        if not self.closed:
            pause_s = attempts.pause_s(error, connection.address, request, another_is_asked=another_is_asked)
            end_s = time.monotonic() + pause_s
            while not self.closed and (left_s := end_s - time.monotonic()) > 0:
                time.sleep(min(left_s, LOOK_EVERY_S))
        self.check_open()

    def check_open(self) -> None:
        """Raises CallCancelledError where a call that is under way may go no further."""
        if self.closed:
            raise CallCancelledError(CLOSED_MIDWAY) from None

    def watch(self, reply: Any) -> None:
        """Has `end` cancel a reply that is waited for."""
        _under_way[reply] = (self, os.getpid())
        if self._ended:
            reply.cancel()

    def unwatch(self, reply: Any) -> None:
        """It has come, or nobody waits for it any longer."""
        _under_way.pop(reply, None)

    def end(self) -> None:
        """Ends the calls under way with CallCancelledError. Those of a parent process are left alone."""
        self._ended = True
        for reply, (scope, process) in _under_way.copy().items():
            if scope is self and process == os.getpid():
                reply.cancel()
