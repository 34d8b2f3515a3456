"""The load generator: runs the loops here, or in several processes at once where one is too slow for the server."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, Final, TypeAlias

import grpc

from ganserve.client._transport.access import NO_ACCESS, Access
from ganserve.client._transport.errors import request_error
from ganserve.client._transport.route import Route
from ganserve.contract.errors import GanserveError

from .loops import closed_loop, open_loop, streams
from .outcomes import Outcomes
from .requests import RequestKind

Loop: TypeAlias = Callable[[grpc.aio.Channel], Awaitable[Outcomes]]

_STREAM_TIMEOUT_S: Final = 3600.0


class LoadGenerator:
    """Puts load on one server. A loop's callers and arrivals are divided over the processes."""

    def __init__(
        self, address: str, *, access: Access = NO_ACCESS, num_processes: int = 1, timeout_s: float = 30.0
    ) -> None:
        """Starts the processes.

        Args:
            address: of the server, as `parse_addresses` gives it.
            access: certificates and a token.
            num_processes: how many share the load; 1 is this one.
            timeout_s: deadline of a call of a closed loop.
        """
        self._route = route = Route(address, access)
        self._timeout_s = timeout_s
        self._here = _Worker(route, timeout_s) if num_processes == 1 else None
        context = multiprocessing.get_context("spawn")
        self._pools = [
            ProcessPoolExecutor(1, context, _begin_worker, (route, timeout_s))
            for _ in range(num_processes if num_processes > 1 else 0)
        ]

    def closed_loop(self, kind: RequestKind, *, num_callers: int, turn_s: float) -> Outcomes:
        """As `loops.closed_loop`. Raises RequestError where a call fails for another reason than overload."""
        return self._run(
            [
                partial(
                    closed_loop,
                    kind=kind,
                    num_callers=share,
                    turn_s=turn_s,
                    timeout_s=self._timeout_s,
                    metadata=self._route.metadata(),
                )
                for share in _divided(num_callers, self.num_processes)
            ]
        )

    def open_loop(self, kind: RequestKind, *, calls_per_s: float, turn_s: float, deadline_s: float) -> Outcomes:
        """As `loops.open_loop`."""
        share = calls_per_s / self.num_processes
        loop = partial(
            open_loop,
            kind=kind,
            calls_per_s=share,
            turn_s=turn_s,
            deadline_s=deadline_s,
            metadata=self._route.metadata(),
        )
        return self._run([loop] * self.num_processes)

    def streams(self, kind: RequestKind, *, num_samples: int, turn_s: float) -> Outcomes:
        """As `loops.streams`. Raises RequestError where a stream fails."""
        loop = partial(
            streams,
            kind=kind,
            num_samples=num_samples,
            turn_s=turn_s,
            timeout_s=_STREAM_TIMEOUT_S,
            metadata=self._route.metadata(),
        )
        return self._run([loop])

    @property
    def num_processes(self) -> int:
        """How many share the load."""
        return len(self._pools) or 1

    def close(self) -> None:
        """Ends the processes."""
        if self._here:
            self._here.close()
        for pool in self._pools:
            pool.shutdown()

    def _run(self, loops: Sequence[Loop]) -> Outcomes:
        if self._here:
            return self._here.run(loops[0])
        runs: list[Future[Outcomes]] = [
            pool.submit(_run_in_worker, loop) for pool, loop in zip(self._pools, loops, strict=False)
        ]
        try:
            return Outcomes.merged([run.result() for run in runs])
        except BrokenProcessPool:
            raise GanserveError("a process that puts load on the server has ended; give fewer --processes") from None


class _Worker:
    """One process's event loop and channel."""

    def __init__(self, route: Route, timeout_s: float) -> None:
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


async def _awaited(outcomes: Awaitable[Outcomes]) -> Outcomes:
    return await outcomes


def _divided(total: int, num_parts: int) -> list[int]:
    """A number as a sum of nearly equal parts, without those that would be 0."""
    return [size for i in range(num_parts) if (size := (total + i) // num_parts)]


_worker: Any = None  # of this process, where it is one of several


def _begin_worker(route: Route, timeout_s: float) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command's own process ends the others
    _worker = _Worker(route, timeout_s)


def _run_in_worker(loop: Loop) -> Outcomes:
    outcomes: Outcomes = _worker.run(loop)
    return outcomes
