"""Writes a dump over and over, in processes that come to grief at one moment after the other, and goes on each time.

A process of its own that has no threads, so that it can fork. It prints, as JSON, how the troubled processes ended.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ganserve.dump.cli
import ganserve.runtime.local  # noqa: F401 - so that not every process imports it
from ganserve.cli import main

_CHANGING_EVENTS = frozenset({"open", "os.link", "os.mkdir", "os.remove", "os.rename"})
_WRITING = os.O_WRONLY | os.O_RDWR
_CAME = b"here comes trouble\n"


def run(words: list[str], folder: Path, prepare: Callable[[], None] = lambda: None) -> int:
    """Exit code of the command in a process of its own; negative for a signal. What it says goes to `folder.log`."""
    child = os.fork()
    if child == 0:
        log = os.open(f"{folder}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        prepare()
        code = main([*words, "--out", str(folder)])
        sys.stdout.flush()
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def at_change(number: int, folder: Path, trouble: Callable[[], None]) -> Callable[[], None]:
    """Brings trouble about when something below the folder is about to be changed for the so-manieth time."""
    seen = itertools.count()

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _CHANGING_EVENTS or not str(arguments[0]).startswith(f"{folder}/"):
            return
        if event == "open" and not arguments[2] & _WRITING:
            return
        if next(seen) == number:
            os.write(2, _CAME)
            trouble()

    return lambda: sys.addaudithook(look)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run_out_of_space() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def limit_files() -> None:
    """A file that grows beyond two kilobytes cannot be written on, as on a disk that is full by then."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, resource.RLIM_INFINITY))


def main_of(trouble: str, top: Path, words: list[str]) -> list[int]:
    """The exit codes of the runs that had trouble."""
    if trouble == "limit":
        codes = [run(words, top / "0", limit_files)]
        assert run(words, top / "0") == 0
        return codes
    cause = {"kill": die, "full": run_out_of_space}[trouble]
    codes = []
    for number in itertools.count():
        folder = top / f"{number}"
        code = run(words, folder, at_change(number, folder, cause))
        if _CAME not in Path(f"{folder}.log").read_bytes():
            assert code == 0
            return codes
        codes.append(code)
        assert run(words, folder) == 0, Path(f"{folder}.log").read_text()
    raise AssertionError


if __name__ == "__main__":
    print(json.dumps(main_of(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])))
