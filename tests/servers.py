"""Real servers, each in a process of its own."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from .warm import WarmProcess, start_command

TIMEOUT_S = 60
GANSERVE = (sys.executable, "-m", "ganserve.cli")

RunCommand = Callable[..., "subprocess.CompletedProcess[str]"]


class ServerProcess:
    """`ganserve serve`, on a free port unless the flags say where; without `models`, of those in the folder `models`.

    A `program` is called as `ganserve` would be: with `serve` and its flags.

    Attributes:
        address: where it listens.
        log: the lines it has written so far.
    """

    def __init__(self, models: Path | None, *flags: str, program: Sequence[str] | None = None) -> None:
        command = ["serve"]
        command += [] if models is None else ["--models", str(models)]
        command += [] if "--listen" in flags else ["--listen", "127.0.0.1:0"]
        # On the CPU, where samples are promised to be the same bytes that plain ONNX Runtime makes.
        command += ["--device", "cpu", *flags]
        stderr, written = os.pipe()
        self._stderr = os.fdopen(stderr)
        self.process: WarmProcess | subprocess.Popen[bytes]
        if program is None:
            self.process = start_command(command, stderr=written)
        else:
            self.process = subprocess.Popen([*program, *command], stderr=written)
        os.close(written)
        self.address = ""
        self.log: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, pattern: str) -> str:
        """Waits for a line of the log and returns its first group, or all that matched."""
        while (line := self._lines.get(timeout=TIMEOUT_S)) is not None:
            if match := re.search(pattern, line):
                return match[1] if match.groups() else match[0]
        raise AssertionError(f"the server ended without saying {pattern!r}:\n" + "\n".join(self.log))

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(TIMEOUT_S)
        self._reader.join(TIMEOUT_S)
        return code

    def close(self) -> None:
        """Ends the process in any case."""
        with self.process:
            self.process.kill()
        self._reader.join(TIMEOUT_S)
        self._stderr.close()

    def _read(self) -> None:
        for line in self._stderr:
            self.log.append(line.rstrip())
            self._lines.put(line)
        self._lines.put(None)


StartServer = Callable[..., AbstractContextManager[ServerProcess]]
