"""One question of `Client`, which is asked until it is answered, and of two servers where the first is slow."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Final, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from ganserve.client._transport.ask import Answer, Ask
from ganserve.client._transport.connections import CLOSED_MIDWAY, Connection, Connections
from ganserve.client._transport.errors import is_unavailable
from ganserve.contract.errors import CallCancelledError, RequestError

from .attempts import Attempts

Way = TypeVar("Way")

LOOK_EVERY_S: Final = 0.1
"""How often a pause looks whether its client has been closed."""

# The replies that are waited for. A forked child keeps those of its parent for as long as it lives: their locks may
# have been held at the fork, and gRPC takes them where a reply is freed.
_awaited: Final[set[Any]] = set()


@dataclass(eq=False)
class Sent(Generic[Way]):
    """A question on its way to one server.

    Attributes:
        connection: the way.
        reply: what is waited for.
        sent_s: when it was sent, as `time.perf_counter` tells.
    """

    connection: Way
    reply: Any
    sent_s: float


class Call(Generic[Answer]):
    """A question that is under way, at one server or at two."""

    def __init__(
        self, connections: Connections, ask: Ask[Answer], attempts: Attempts, hedge_after_s: float | None = None
    ) -> None:
        """Asks.

        Args:
            connections: of the client.
            ask: the question.
            attempts: whom to ask and how often.
            hedge_after_s: seconds without an answer after which a second server is asked, once; None for never.
        """
        self._connections = connections
        self._ask = ask
        self._attempts = attempts
        self._hedge_after_s = math.inf if hedge_after_s is None else hedge_after_s
        self._under_way: list[Sent[Connection]] = []
        self._send(attempts.next_address())

    def answer(self) -> Answer:
        """Waits for the answer, and asks again where there is none. Raises RequestError."""
        answer, _ = self.answer_and_way()
        return answer

    def answer_and_way(self) -> tuple[Answer, Sent[Connection]]:
        """As `answer`, with the way on which it came."""
        try:
            while True:
                sent = self._first_to_end()
                try:
                    return self._ask.read(sent.reply.result()), sent
                except (grpc.RpcError, grpc.FutureCancelledError, RequestError) as error:
                    self._leave(sent)
                    wait_after(
                        error,
                        self._connections,
                        sent.connection,
                        self._attempts,
                        self._ask.request,
                        another_is_asked=bool(self._under_way),
                    )
                if not self._under_way:
                    self._send(self._attempts.next_address())
        finally:
            self.cancel()

    def answer_within(self, wait_s: float) -> Answer | None:
        """The answer, where it comes within so many seconds and without asking again."""
        end_s = time.monotonic() + wait_s
        for sent in self._under_way:
            try:
                if _ends_by(sent.reply, end_s):
                    return self._ask.read(sent.reply.result())
            except (grpc.RpcError, grpc.FutureCancelledError, RequestError):
                continue
        return None

    def cancel(self) -> None:
        """Takes the question back."""
        for sent in list(self._under_way):
            self._leave(sent)
            sent.reply.cancel()

    def _send(self, address: str) -> None:
        left_s = self._attempts.left_s()
        sent_s = time.perf_counter()
        sent = Sent(*self._connections.begin(address, lambda connection: connection.ask(self._ask, left_s)), sent_s)
        self._under_way.append(sent)
        _awaited.add(sent.reply)
        self._hedge_at_s = time.monotonic() + self._hedge_after_s

    def _leave(self, sent: Sent[Connection]) -> None:
        self._under_way.remove(sent)
        _awaited.discard(sent.reply)

    def _first_to_end(self) -> Sent[Connection]:
        """What has ended first, of one or two."""
        (first, *_) = self._under_way
        if math.isfinite(self._hedge_after_s) and not _ends_by(first.reply, self._hedge_at_s):
            self._hedge(first)
        if len(self._under_way) == 1:
            return first
        ended: SimpleQueue[Sent[Connection]] = SimpleQueue()
        for sent in self._under_way:
            sent.reply.add_done_callback(lambda _, sent=sent: ended.put(sent))
        return ended.get()

    def _hedge(self, first: Sent[Connection]) -> None:
        self._hedge_after_s = math.inf
        address = self._attempts.second_address(first.connection.address)
        if address and not self._connections.closed and not self._attempts.is_over:
            self._send(address)


def wait_after(
    error: Exception,
    connections: Connections,
    connection: Connection,
    attempts: Attempts,
    request: Message,
    *,
    another_is_asked: bool = False,
) -> None:
    """Waits until it is time to ask again. Raises RequestError where that is no use."""
    if connection.replaced or (is_unavailable(error) and connections.renew(connection)):
        return
    if not connections.closed:
        pause_s = attempts.pause_s(error, connection.address, request, another_is_asked=another_is_asked)
        end_s = time.monotonic() + pause_s
        while not connections.closed and (left_s := end_s - time.monotonic()) > 0:
            time.sleep(min(left_s, LOOK_EVERY_S))
    if connections.closed:
        raise CallCancelledError(CLOSED_MIDWAY) from None


def _ends_by(reply: Any, end_s: float) -> bool:
    """Whether a reply has come, or never will, by a monotonic time. gRPC itself would wait by the wall clock."""
    ended = threading.Event()
    reply.add_done_callback(lambda _: ended.set())
    return ended.wait(max(0.0, end_s - time.monotonic()))
