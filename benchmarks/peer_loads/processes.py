"""Servers as processes: started, measured with all that they start, and stopped. Needs Linux's /proc."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

MARK = "GANSERVE_PEER"
GRACE_S = 15.0
LAST_GRACE_S = 5.0
PORTS = range(20_000, 29_000)

_MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ (\S+) (\S+) (\d+)", re.MULTILINE)


class Server:
    """A process and all that it started.

    They are its session, those that bear its mark in their environment, and the children of all these: some leave the
    session, and others write their name over their environment.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        mark = secrets.token_hex(16)
        self._mark = f"{MARK}={mark}".encode()
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                command,
                env={**environment, MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def is_running(self) -> bool:
        return self._process.poll() is None

    def members(self) -> list[int]:
        """Ids of its processes."""
        found: set[int] = set()
        children = defaultdict[int, list[int]](list)
        for pid, parent, session in _all_processes():
            children[parent].append(pid)
            if session == self._process.pid or self._mark in _read(pid, "environ"):
                found.add(pid)
        waiting = [*found]
        while waiting:
            new = set(children[waiting.pop()]) - found
            found |= new
            waiting += new
        return sorted(found)

    def resident_bytes(self) -> int:
        """Memory that its processes hold, pages that they share counted once."""
        private, shared = 0, defaultdict[tuple[str, ...], int](int)
        for pid in self.members():
            text = _read(pid, "smaps").decode()
            starts = [*_MAPPING.finditer(text)]
            for match, after in zip(starts, [*starts[1:], None], strict=True):
                kib = _figures(text[match.end() : after.start() if after else None])
                if match[3] == "0":  # of no file; forks share it, and so count their parts
                    private += kib["Pss"]
                    continue
                private += kib["Anonymous"]
                shared[match.groups()] = max(shared[match.groups()], kib["Rss"] - kib["Anonymous"])
        return (private + sum(shared.values())) * 1024

    def stop(self) -> None:
        """Asks its first process to end, then what that left, and ends what is there after that."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_S)
        self._signal(signal.SIGTERM)
        end_s = time.monotonic() + LAST_GRACE_S
        while self.members() and time.monotonic() < end_s:
            time.sleep(0.05)
        while self.members():
            self._signal(signal.SIGKILL)
            time.sleep(0.05)
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.members():
            with suppress(ProcessLookupError):
                os.kill(pid, number)


@contextmanager
def running(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[Server]:
    """A server that has been started, and is stopped in the end."""
    server = Server(command, environment, log)
    try:
        yield server
    finally:
        server.stop()


def free_ports(number: int) -> int:
    """The first of as many ports in a row that nobody has.

    They are not of those that the system gives to outgoing connections, which may take them before a server does.
    """
    while True:
        first = secrets.choice(PORTS)
        if all(map(_is_free, range(first, first + number))):
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        try:
            one.bind(("", port))
        except OSError:
            return False
        return True


def _all_processes() -> Iterator[tuple[int, int, int]]:
    """Id, parent and session of every process that is not a zombie."""
    for folder in Path("/proc").glob("[0-9]*"):
        if stat := _read(folder.name, "stat"):
            state, parent, _, session = stat.rpartition(b") ")[2].split()[:4]
            if state != b"Z":
                yield int(folder.name), int(parent), int(session)


def _read(pid: int | str, name: str) -> bytes:
    """What the system tells of a process; nothing once it has ended, or where it is another user's."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _figures(text: str) -> dict[str, int]:
    return {name: int(kib) for name, kib in re.findall(r"^(Rss|Pss|Anonymous): +(\d+) kB", text, re.MULTILINE)}
