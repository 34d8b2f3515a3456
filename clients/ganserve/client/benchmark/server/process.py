"""CPU time of a server that runs on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from ganserve.contract.errors import ConfigError, UnavailableError

_PROCESSES: Final = Path("/proc")
_USER_TICKS, _SYSTEM_TICKS = 11, 12  # places behind the name in /proc/PID/stat; see proc_pid_stat(5)


class ServerProcess:
    """A process and those that it started."""

    def __init__(self, pid: int) -> None:
        """Raises ConfigError where there is no such process, or the system does not tell."""
        if not (_PROCESSES / "self" / "stat").exists():
            raise ConfigError(
                f"--server-pid {pid}: CPU time is read from /proc, which Linux has and this system does not; "
                "leave it out"
            )
        self._pid = pid
        try:
            self.cpu_s()
        except UnavailableError:
            raise ConfigError(f"--server-pid {pid}: there is no such process on this machine") from None

    def cpu_s(self) -> float:
        """CPU seconds so far. Raises UnavailableError where the process has ended."""
        try:
            ticks = sum(map(_ticks, _with_children(self._pid)))
        except OSError:
            raise UnavailableError(f"the server's process, --server-pid {self._pid}, has ended") from None
        return ticks / os.sysconf("SC_CLK_TCK")


def _with_children(pid: int) -> list[int]:
    found = [pid]
    for listed in (_PROCESSES / str(pid) / "task").glob("*/children"):
        for child in map(int, listed.read_text().split()):
            found += _with_children(child)
    return found


def _ticks(pid: int) -> int:
    # The name may hold spaces and brackets; it ends at the last bracket.
    values = (_PROCESSES / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return int(values[_USER_TICKS]) + int(values[_SYSTEM_TICKS])
