"""One question of `AsyncClient`, which is asked until it is answered, and of two servers where the first is slow."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from ganserve.client._transport.ask import Answer, Ask
from ganserve.client._transport.connections import CLOSED_MIDWAY, AsyncConnection, AsyncConnections
from ganserve.client._transport.errors import is_unavailable
from ganserve.contract.errors import CallCancelledError, RequestError

from .attempts import Attempts
from .call import LOOK_EVERY_S, Sent

Reply = TypeVar("Reply")


class AsyncCall(Generic[Answer]):
    """As `Call`, on an event loop."""

    def __init__(
        self, connections: AsyncConnections, ask: Ask[Answer], attempts: Attempts, hedge_after_s: float | None = None
    ) -> None:
        """As `Call`."""
        self._connections = connections
        self._ask = ask
        self._attempts = attempts
        self._hedge_after_s = math.inf if hedge_after_s is None else hedge_after_s
        self._under_way: list[Sent[AsyncConnection]] = []
        self._send(attempts.next_address())

    async def answer(self) -> Answer:
        """As `Call.answer`."""
        answer, _ = await self.answer_and_way()
        return answer

    async def answer_and_way(self) -> tuple[Answer, Sent[AsyncConnection]]:
        """As `Call.answer_and_way`."""
        try:
            while True:
                sent = await self._first_to_end()
                try:
                    return self._ask.read(await unless_closed(sent.connection, sent.reply)), sent
                except (grpc.RpcError, RequestError) as error:
                    self._under_way.remove(sent)
                    await wait_after(
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

    async def answer_within(self, wait_s: float) -> Answer | None:
        """As `Call.answer_within`."""
        end_s = time.monotonic() + wait_s
        for sent in self._under_way:
            try:
                if await _ends_within(sent.reply, end_s - time.monotonic()):
                    return self._ask.read(await unless_closed(sent.connection, sent.reply))
            except (grpc.RpcError, RequestError):
                continue
        return None

    def cancel(self) -> None:
        """As `Call.cancel`."""
        for sent in self._under_way:
            sent.reply.cancel()
        self._under_way.clear()

    def _send(self, address: str) -> None:
        left_s = self._attempts.left_s()
        connection = self._connections.to(address)
        sent_s = time.perf_counter()
        self._under_way.append(Sent(connection, connection.ask(self._ask, left_s), sent_s))
        self._hedge_at_s = time.monotonic() + self._hedge_after_s

    async def _first_to_end(self) -> Sent[AsyncConnection]:
        """What has ended first, of one or two."""
        (first, *_) = self._under_way
        if math.isfinite(self._hedge_after_s) and not await _ends_within(
            first.reply, self._hedge_at_s - time.monotonic()
        ):
            self._hedge(first)
        if len(self._under_way) == 1:
            return first
        ended: asyncio.Queue[Sent[AsyncConnection]] = asyncio.Queue()
        for sent in self._under_way:
            sent.reply.add_done_callback(lambda _, sent=sent: ended.put_nowait(sent))
        return await ended.get()

    def _hedge(self, first: Sent[AsyncConnection]) -> None:
        self._hedge_after_s = math.inf
        address = self._attempts.second_address(first.connection.address)
        if address and not self._connections.closed and not self._attempts.is_over:
            self._send(address)


async def wait_after(
    error: Exception,
    connections: AsyncConnections,
    connection: AsyncConnection,
    attempts: Attempts,
    request: Message,
    *,
    another_is_asked: bool = False,
) -> None:
    """Waits until it is time to ask again. Raises RequestError where that is no use."""
    if is_unavailable(error) and connections.renew(connection):
        return
    if not connections.closed:
        pause_s = attempts.pause_s(error, connection.address, request, another_is_asked=another_is_asked)
        end_s = time.monotonic() + pause_s
        while not connections.closed and (left_s := end_s - time.monotonic()) > 0:  # noqa: ASYNC110 (closed by any loop)
            await asyncio.sleep(min(left_s, LOOK_EVERY_S))
    if connections.closed:
        raise CallCancelledError(CLOSED_MIDWAY) from None


async def unless_closed(connection: AsyncConnection, reply: Awaitable[Reply]) -> Reply:
    """The reply. Raises CallCancelledError where the client was closed, which gRPC tells like a task's cancellation."""
    try:
        return await reply
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if connection.closed and not (task and task.cancelling()):
            raise CallCancelledError(CLOSED_MIDWAY) from None
        raise


async def _ends_within(reply: Any, wait_s: float) -> bool:
    """Whether a reply, or its failure, is there in time. It goes on otherwise."""
    ended = asyncio.Event()
    reply.add_done_callback(lambda _: ended.set())
    if reply.done() or wait_s <= 0:
        return bool(reply.done())
    try:
        await asyncio.wait_for(ended.wait(), wait_s)
    except TimeoutError:
        return False
    return True
