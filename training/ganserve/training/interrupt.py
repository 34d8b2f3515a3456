"""Stopping between two steps when the user or the machine asks for it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StoppedError(Exception):
    """Raised, where work cannot be left between two steps, to leave it at once."""


class StopSignal:
    """While it is entered, the first SIGINT or SIGTERM only sets `received`; a second one acts as it always did.

    Outside the main thread, where Python allows no handlers, it never fires.
    """

    def __init__(self, on_signal: Callable[[], None] = lambda: None) -> None:
        """`on_signal` is called at the first one."""
        self.received: signal.Signals | None = None
        self._tell = on_signal
        self._previous: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        """Whether to stop."""
        return self.received is not None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._restore()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.received = signal.Signals(number)
        self._restore()
        self._tell()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler or signal.SIG_DFL)
        self._previous = {}
