"""A log line that may be due thousands of times a second."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any


class ThrottledLog:
    """Writes one line at once and then at most one an interval, which says how many more there were.

    May be called from any thread.
    """

    def __init__(
        self, log: logging.Logger, *, interval_s: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._interval_s = interval_s
        self._clock = clock
        self._lock = threading.Lock()
        self._num_left_out = 0
        self._next_s = float("-inf")

    def warning(self, message: str) -> None:
        """Writes the message, or counts it where one was written within the interval."""
        self.write(logging.WARNING, message, {})

    def write(self, level: int, message: str, fields: Mapping[str, Any]) -> None:
        """The same at another level, and with fields for a log of JSON."""
        with self._lock:
            now_s = self._clock()
            if now_s < self._next_s:
                self._num_left_out += 1
                return
            num_left_out, self._num_left_out = self._num_left_out, 0
            self._next_s = now_s + self._interval_s
        more = f" (and {num_left_out} more since the last such line)" if num_left_out else ""
        self._log.log(level, "%s%s", message, more, extra={"fields": fields})
