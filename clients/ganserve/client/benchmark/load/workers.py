"""Who runs the loops: this process, or one of several beside it, which never outlives it."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Final, TypeAlias

import grpc

from ganserve.client._transport.errors import request_error
from ganserve.client._transport.route import Route
from ganserve.contract.errors import GanserveError

from .outcomes import Outcomes

Loop: TypeAlias = Callable[[grpc.aio.Channel], Awaitable[Outcomes]]

_STOP_S: Final = 5.0


class Worker:
    """An event loop and a channel."""

    def __init__(self, route: Route, timeout_s: float) -> None:
        """Opens the channel.

        Args:
            route: to the server.
            timeout_s: deadline of calls, which errors tell.
        """
        self._route = route
        self._timeout_s = timeout_s
        self._runner = asyncio.Runner()
        self._channel = self._runner.run(self._open())

    def run(self, loop: Loop) -> Outcomes:
        """Runs a loop to its end. Raises RequestError."""
        try:
            return self._runner.run(_awaited(loop(self._channel)))
        except grpc.aio.AioRpcError as error:
            raise request_error(error, self._route.address, self._timeout_s) from None

    def close(self) -> None:
        """Closes the channel."""
        self._runner.run(self._channel.close())
        self._runner.close()

    async def _open(self) -> grpc.aio.Channel:
        return self._route.open()


class WorkerProcess:
    """A worker in a process of its own. It ends with this process, however that ends."""

    def __init__(self, route: Route, timeout_s: float) -> None:
        """Starts the process. See `Worker`."""
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, route, timeout_s), daemon=True)
        self._process.start()
        theirs.close()

    def begin(self, loop: Loop) -> None:
        """Has the worker run a loop. Raises GanserveError where its process has ended."""
        try:
            self._ours.send(loop)
        except OSError:
            raise _ended() from None

    def outcomes(self) -> Outcomes | GanserveError:
        """Waits for what came of it, or for the error that ended it, such as that the process has ended."""
        try:
            outcomes: Outcomes | GanserveError = self._ours.recv()
        except (EOFError, OSError):
            return _ended()
        return outcomes

    def close(self) -> None:
        """Ends the process, whatever it does."""
        self._process.terminate()
        self._process.join(_STOP_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()
        self._ours.close()


def _ended() -> GanserveError:
    return GanserveError("a process that puts load on the server has ended; give fewer --processes")


async def _awaited(outcomes: Awaitable[Outcomes]) -> Outcomes:
    return await outcomes


def _work(theirs: Connection, route: Route, timeout_s: float) -> None:
    """Runs one loop after the other, until the process is ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches this process too; the command's own ends it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    worker = Worker(route, timeout_s)
    while True:
        try:
            outcomes: Outcomes | GanserveError = worker.run(theirs.recv())
        except GanserveError as error:
            outcomes = error
        theirs.send(outcomes)


def _end_with_parent() -> None:
    """A parent that was killed has ended nobody; whoever waits for it, or puts load on, would go on for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
