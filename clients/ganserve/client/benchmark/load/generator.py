"""The load generator: runs the loops here, or in several processes at once where one is too slow for the server."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from ganserve.client._transport.access import NO_ACCESS, Access
from ganserve.client._transport.route import Route
from ganserve.contract.errors import GanserveError

from .loops import closed_loop, open_loop, streams
from .outcomes import Outcomes
from .requests import RequestKind
from .workers import Loop, Worker, WorkerProcess

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
        self._here = Worker(route, timeout_s) if num_processes == 1 else None
        self._others = [WorkerProcess(route, timeout_s) for _ in range(num_processes if num_processes > 1 else 0)]

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
        return len(self._others) or 1

    def close(self) -> None:
        """Ends the processes, whatever they do."""
        if self._here:
            self._here.close()
        for other in self._others:
            other.close()

    def _run(self, loops: Sequence[Loop]) -> Outcomes:
        if self._here:
            return self._here.run(loops[0])
        busy = self._others[: len(loops)]
        for other, loop in zip(busy, loops, strict=True):
            other.begin(loop)
        parts = []
        for ended in [other.outcomes() for other in busy]:  # of all, so that none is left for the next turn
            if isinstance(ended, GanserveError):
                raise ended
            parts.append(ended)
        return Outcomes.merged(parts)


def _divided(total: int, num_parts: int) -> list[int]:
    """A number as a sum of nearly equal parts, without those that would be 0."""
    return [size for i in range(num_parts) if (size := (total + i) // num_parts)]
