"""The open channels of a client: one an address, for `Client` one a process and for `AsyncClient` one an event loop.

gRPC's threads and sockets do not survive a fork: a child that meets a channel of its parent hangs or crashes, and so
may one that opens its own while the parent's is in use. Just before a fork, therefore, every channel of a `Client` is
closed, and after it parent and child open their own when they next need them. Calls that this ends are sent again, and
streams go on at their next index: the same address gives the same sample.

gRPC shuts down, in the background, when its last channel has gone, and a fork in the middle of that leaves the child
with a lock that nobody opens. One channel that leads nowhere therefore stays for as long as the process lives.

asyncio's gRPC cannot be put to rest like that. A child of a process that has it open may use `Client` alone, and must
not free what is left of it: gRPC would wait for a thread that only the parent has.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakKeyDictionary, WeakSet

import grpc

from ganserve.v1.generator_pb2 import StreamSamplesRequest
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub

from .access import NO_ACCESS, Access
from .ask import Ask
from .async_coalescing import AsyncCoalescer
from .channel import open_async_channel, open_channel
from .coalescing import Coalescer, SharedCall
from .gathering import Passenger

if TYPE_CHECKING:
    from ganserve.v1.generator_pb2_grpc import GeneratorServiceAsyncStub

Begun = TypeVar("Begun")

CLOSED_MIDWAY: Final = "the client was closed during the call"
CLOSED: Final = "this client is closed; make another"


class Connection:
    """A channel for threads.

    Attributes:
        address: where it leads.
        stub: what calls are made on.
        closed: whether the channel has been closed.
        replaced: whether that was to open another, before a fork or with new certificates; what it ends is asked again.
    """

    def __init__(self, address: str, access: Access, *, coalesce: bool) -> None:
        """Raises ConfigError where a certificate cannot be used any more."""
        _keep_grpc_up()
        self.address = address
        self._access = access
        self._stamp = access.stamp()
        self.channel = open_channel(address, access.credentials(address))
        self.stub = GeneratorServiceStub(self.channel)
        self._coalescer = Coalescer(self.stub) if coalesce else None
        self.closed = False
        self.replaced = False

    def ask(self, ask: Ask[Any], left_s: float | None) -> grpc.Future[Any] | SharedCall:
        """Begins a call. Raises ValueError where the channel is closed."""
        metadata = self._access.metadata()
        if self._coalescer and (passenger := Passenger.of(ask, left_s, metadata)):
            return self._coalescer.begin(passenger)
        future: grpc.Future[Any] = getattr(self.stub, ask.method).future(
            ask.request, timeout=left_s, metadata=ask.metadata + metadata
        )
        return future

    def stream(self, request: StreamSamplesRequest) -> Any:
        """Begins a stream. Raises ValueError where the channel is closed."""
        return self.stub.StreamSamples(request, metadata=self._access.metadata())

    def is_outdated(self) -> bool:
        """Whether there are other certificates now than those that it was opened with."""
        return self._access.has_changed_since(self._stamp)

    def close(self, *, replaced: bool = False) -> None:
        """Ends the calls under way."""
        self.closed, self.replaced = True, replaced
        self.channel.close()


class Connections:
    """The channels of a `Client`. Safe to share between threads; a pickled copy leaves the channels behind.

    Attributes:
        closed: whether the client has been closed.
        access: how the servers are reached.
    """

    def __init__(self, access: Access = NO_ACCESS, *, coalesce: bool = False) -> None:
        """Opens nothing yet. `coalesce` has small calls travel together."""
        self.closed = False
        self.access = access
        self._coalesce = coalesce
        self._by_address: dict[str, Connection] = {}

    def to(self, address: str) -> Connection:
        """The channel to an address, opened at need. Raises RuntimeError when the client is closed."""
        connection = self._by_address.get(address)
        if connection is None:
            with _no_fork:
                if self.closed:
                    raise RuntimeError(CLOSED)
                _in_use.add(self)
                connection = self._by_address.setdefault(
                    address, Connection(address, self.access, coalesce=self._coalesce)
                )
        return connection

    def begin(self, address: str, begin: Callable[[Connection], Begun]) -> tuple[Connection, Begun]:
        """Begins a call. Raises RuntimeError where the client is closed."""
        while True:
            connection = self.to(address)
            try:
                return connection, begin(connection)
            except ValueError:  # which gRPC raises where the channel was closed in between
                if not connection.closed:
                    raise

    def renew(self, connection: Connection) -> bool:
        """Has another channel opened at need in place of one that is outdated, and tells whether it was."""
        if not connection.is_outdated():
            return False
        with _no_fork:
            if self._by_address.get(connection.address) is connection:
                del self._by_address[connection.address]
                connection.close(replaced=True)
        return True

    def close(self) -> None:
        """Closes all channels, for good."""
        with _no_fork:
            self.closed = True
            for connection in self._take_all():
                connection.close()

    def end_for_fork(self) -> None:
        """Closes all channels, of which new ones are opened at need."""
        for connection in self._take_all():
            connection.close(replaced=True)

    def __len__(self) -> int:
        return len(self._by_address)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_by_address": {}}

    def _take_all(self) -> list[Connection]:
        taken, self._by_address = list(self._by_address.values()), {}
        return taken


class AsyncConnection:
    """A channel for one event loop.

    Attributes:
        address: where it leads.
        stub: what calls are made on.
        closed: whether the client has closed it.
    """

    def __init__(self, address: str, access: Access, *, coalesce: bool) -> None:
        """Raises ConfigError where a certificate cannot be used any more."""
        _keep_grpc_up()
        self.address = address
        self._access = access
        self._stamp = access.stamp()
        self.channel = open_async_channel(address, access.credentials(address))
        self.stub: GeneratorServiceAsyncStub = GeneratorServiceStub(self.channel)
        self._coalescer = AsyncCoalescer(self.stub) if coalesce else None
        self.closed = False
        _async_in_use.add(self)
        _async_channels.add(self.channel)

    def ask(self, ask: Ask[Any], left_s: float | None) -> Any:
        """Begins a call, which is awaited."""
        metadata = self._access.metadata()
        if self._coalescer and (passenger := Passenger.of(ask, left_s, metadata)):
            return self._coalescer.begin(passenger)
        return getattr(self.stub, ask.method)(ask.request, timeout=left_s, metadata=ask.metadata + metadata)

    def stream(self, request: StreamSamplesRequest) -> Any:
        """Begins a stream."""
        return self.stub.StreamSamples(request, metadata=self._access.metadata())

    def is_outdated(self) -> bool:
        """As `Connection.is_outdated`."""
        return self._access.has_changed_since(self._stamp)

    async def close(self) -> None:
        """Ends the calls under way."""
        self.closed = True
        _async_in_use.discard(self)
        await self.channel.close()


class AsyncConnections:
    """The channels of an `AsyncClient`, for every event loop that uses it.

    Attributes:
        closed: whether the client has been closed.
        access: how the servers are reached.
    """

    def __init__(self, access: Access = NO_ACCESS, *, coalesce: bool = False) -> None:
        """Opens nothing yet. `coalesce` has small calls travel together."""
        self.closed = False
        self.access = access
        self._coalesce = coalesce
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, AsyncConnection]] = WeakKeyDictionary()

    def to(self, address: str) -> AsyncConnection:
        """The running loop's channel to an address, opened at need.

        Raises RuntimeError when the client is closed, and in a process where asyncio's gRPC cannot be used.
        """
        if self.closed:
            raise RuntimeError(CLOSED)
        if _async_broken_by_fork:
            raise RuntimeError(
                "this process was forked from one that had an AsyncClient open, and asyncio's gRPC does not survive "
                "that; use Client here, or close every AsyncClient before the fork, or start processes by spawning"
            )
        of_loop = self._by_loop.setdefault(asyncio.get_running_loop(), {})
        if address not in of_loop:
            self._forget_ended_loops()
            of_loop[address] = AsyncConnection(address, self.access, coalesce=self._coalesce)
        return of_loop[address]

    def renew(self, connection: AsyncConnection) -> bool:
        """As `Connections.renew`. Calls under way go on."""
        if not connection.is_outdated():
            return False
        of_loop = self._by_loop.get(asyncio.get_running_loop(), {})
        if of_loop.get(connection.address) is connection:
            del of_loop[connection.address]
        return True

    async def close(self) -> None:
        """Closes the running loop's channels, and lets go of all others."""
        self.closed = True
        mine = self._by_loop.pop(asyncio.get_running_loop(), {})
        self._by_loop.clear()
        for connection in mine.values():
            await connection.close()

    def __len__(self) -> int:
        return sum(map(len, self._by_loop.values()))

    def _forget_ended_loops(self) -> None:
        for loop in [loop for loop in self._by_loop if loop.is_closed()]:
            del self._by_loop[loop]


_no_fork = threading.Lock()  # held where a channel is opened, and over a fork
_in_use: WeakSet[Connections] = WeakSet()
_async_in_use: WeakSet[AsyncConnection] = WeakSet()
_async_channels: WeakSet[grpc.aio.Channel] = WeakSet()  # those that are closed, too, until they are freed
_async_broken_by_fork = False
_idle_channel: grpc.Channel | None = None


def _keep_grpc_up() -> None:
    global _idle_channel
    if _idle_channel is None:
        _idle_channel = open_channel("unix:nowhere")


def _before_fork() -> None:
    _no_fork.acquire()
    for connections in list(_in_use):
        connections.end_for_fork()
    if len(_async_channels) > len(_async_in_use):  # reference cycles hold channels that are closed
        gc.collect()


def _after_fork_in_child() -> None:
    global _async_broken_by_fork
    gc.freeze()  # whatever gRPC objects the parent left as garbage, here they are never freed
    for channel in _async_channels:
        _async_broken_by_fork = True
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(channel))  # nor at exit, as those of a module would be
    _no_fork.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_no_fork.release, after_in_child=_after_fork_in_child)
