"""Lanes: the threads of one device, on which models run."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, ParamSpec, Self, TypeVar

from ganserve.contract.bounds import Bounds

from .device import Device

LANES: Final = Bounds(1, 1_024)
"""Lanes that a device may have."""

BATCH_ROWS: Final = Bounds(1, 4_096)
"""Rows that a run may have."""

P = ParamSpec("P")
T = TypeVar("T")


class Lanes:
    """A thread for each run that a device may have under way, shared by all of its models.

    On a CPU there are as many as are asked for, commonly one a core, and a session is run on several at once. On a GPU
    there is exactly one, on which models are loaded and their graphs captured too.

    Attributes:
        device: what the models run on.
        num_lanes: runs that may be under way at once.
        any_thread: whether other threads may run the models too.
    """

    def __init__(self, device: Device, num_lanes: int) -> None:
        self.device = device
        self.any_thread = device == "cpu"
        self.num_lanes = 1 if device == "cuda" else num_lanes
        self._threads = ThreadPoolExecutor(self.num_lanes, thread_name_prefix="lane")

    def submit(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Has a lane do `work`, behind what it was given before."""
        return self._threads.submit(work, *args, **kwargs)

    def aside(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `work` comes to that no caller waits for.

        Where any thread may do it, that is this one, so that the lanes are free for callers; otherwise it is a lane.
        """
        return work(*args, **kwargs) if self.any_thread else self.submit(work, *args, **kwargs).result()

    def close(self) -> None:
        """Waits for the work under way; what has not begun is cancelled."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
