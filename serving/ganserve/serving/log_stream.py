"""Where the log is written, so that no call ever waits for it."""

from __future__ import annotations

import os
import threading
from queue import SimpleQueue
from types import TracebackType
from typing import Final, Self

_CLOSE_S: Final = 1.0


class LogStream:
    """A stream to a file descriptor, for handlers of `logging`, whose writers are never held up and never fail.

    A thread writes the lines. While it cannot, because the disk is full or nobody reads the pipe, a bounded number of
    them wait; how many were lost is the first that is written once it can again.
    """

    def __init__(self, descriptor: int, *, max_lines: int = 10_000) -> None:
        """Starts the thread.

        Args:
            descriptor: what to write to. It is not closed.
            max_lines: most lines that wait.
        """
        self._descriptor = descriptor
        self._max_lines = max_lines
        self._lines: SimpleQueue[bytes | None] = SimpleQueue()
        self._num_lost = 0
        self._lock = threading.Lock()
        # A thread that is stuck in the system must not hold the end of the process up.
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, line: str) -> int:
        """Has a line written, whole or not at all; returns its length."""
        if self._lines.qsize() < self._max_lines:
            self._lines.put(line.encode(errors="replace"))
        else:
            self._lose(1)
        return len(line)

    def flush(self) -> None:
        """Waits for nothing."""

    def close(self) -> None:
        """Gives what waits a moment to be written."""
        self._lines.put(None)
        self._thread.join(_CLOSE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            self._tell_of_lost()
            if not self._write(line):
                self._lose(1)
        self._tell_of_lost()

    def _tell_of_lost(self) -> None:
        if (num_lost := self._num_lost) and self._write(b"%d lines of the log were lost\n" % num_lost):
            self._lose(-num_lost)

    def _lose(self, num_lines: int) -> None:
        with self._lock:
            self._num_lost += num_lines

    def _write(self, line: bytes) -> bool:
        """Whether a line could be written, to its end."""
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError:
            return False
        return True
