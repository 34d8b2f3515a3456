"""Processes that begin with all imports made: forks of one that has made them.

A process that imports PyTorch by itself takes seconds to begin, and the tests start hundreds.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import resource
import runpy
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing import forkserver
from multiprocessing.reduction import DupFd
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Final, Self

import pytest

from ganserve.cli import COMMANDS, main

_CONTEXT: Final = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        *{command.target.partition(":")[0] for command in COMMANDS.values()},
        "ganserve.serving.server",
        "ganserve.training.session",
    ]
)


class WarmProcess:
    """A function under way in a process of its own, with the interface of `subprocess.Popen` as far as it goes.

    Attributes:
        pid: of the process.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        stdout: int | None = None,
        stderr: int | None = None,
        env: Mapping[str, str] | None = None,
        preexec_fn: Callable[[], None] | None = None,
    ) -> None:
        """Starts it in the folder that this process is in.

        Args:
            function: can be imported. It returns the exit code, or raises SystemExit.
            *arguments: of the function; can be pickled.
            stdout: file descriptor to write to; None for what `communicate` returns.
            stderr: likewise.
            env: the environment; None for that of this process.
            preexec_fn: called at first; can be pickled.
        """
        self._files = [tempfile.TemporaryFile("w+") for _ in range(2)]  # noqa: SIM115 - until the end
        outlets = [_Descriptor(file.fileno()) for file in self._files]
        if stdout is not None:
            outlets[0] = _Descriptor(stdout)
        if stderr is not None:
            outlets[1] = _Descriptor(stderr)
        surroundings = (Path.cwd(), dict(os.environ if env is None else env), preexec_fn)
        self._process = _CONTEXT.Process(target=_run, args=(function, arguments, outlets, surroundings))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("GRPC_VERBOSITY", "NONE")  # as commands set it before they import gRPC
            forkserver.ensure_running()
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, or the negative number of the signal that ended it; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits until it has ended. Raises `subprocess.TimeoutExpired`."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("a warm process", timeout or 0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Waits until it has ended, and returns what it wrote to stdout and stderr. Raises `TimeoutExpired`."""
        self.wait(timeout)
        for file in self._files:
            file.seek(0)
        stdout, stderr = (file.read() for file in self._files)
        return stdout, stderr

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        if self.returncode is None:
            with suppress(ProcessLookupError):  # it may have ended just now
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends it in any case."""
        self.kill()
        self.wait()
        for file in self._files:
            file.close()


def start_command(words: Sequence[str], **options: Any) -> WarmProcess:
    """`ganserve` with these words."""
    return WarmProcess(main, list(words), **options)


def run_command(words: Sequence[str], timeout_s: float, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs `ganserve` with these words to its end, as `subprocess.run` would, and captures what it writes."""
    return _ended(start_command(words, **options), timeout_s)


def start_python(*words: str | Path, **options: Any) -> WarmProcess:
    """`python -W error` with these words, of which the first is a script, `-c` or `-m`."""
    return WarmProcess(_python, [str(word) for word in words], **options)


def run_python(*words: str | Path, timeout_s: float = 120, **options: Any) -> subprocess.CompletedProcess[str]:
    """The same to its end, as `subprocess.run` would; captures what it writes."""
    return _ended(start_python(*words, **options), timeout_s)


def file_limit(num_bytes: int) -> Callable[[], None]:
    """A `preexec_fn` after which no file can grow beyond that, as on a disk that is full by then."""
    return partial(resource.setrlimit, resource.RLIMIT_FSIZE, (num_bytes, num_bytes))


def _ended(process: WarmProcess, timeout_s: float) -> subprocess.CompletedProcess[str]:
    with process:
        stdout, stderr = process.communicate(timeout_s)
        return subprocess.CompletedProcess((), process.wait(), stdout, stderr)


def _python(words: Sequence[str]) -> None:
    warnings.simplefilter("error")
    sys.warnoptions.append("error")  # for processes that this one starts
    if words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        sys.modules["__main__"] = program = ModuleType("__main__")
        exec(compile(words[1], "<program>", "exec"), vars(program))  # noqa: S102
    elif words[0] == "-m":
        sys.argv = [*words[1:]]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = [*words]
        sys.path.insert(0, str(Path(words[0]).parent))
        runpy.run_path(words[0], run_name="__main__")


class _Descriptor:
    """A file descriptor on its way to the process, where it is a number again."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (DupFd(self._number),)


def _arrived(descriptor: Any) -> int:
    number: int = descriptor.detach()
    return number


def _run(
    function: Callable[..., Any], arguments: Sequence[Any], outlets: Sequence[int], surroundings: tuple[Any, ...]
) -> None:
    for number, outlet in enumerate(outlets, start=1):
        os.dup2(outlet, number)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False, buffering=1, errors="backslashreplace")
    folder, environment, preexec_fn = surroundings
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if preexec_fn is not None:
        preexec_fn()
    try:
        sys.exit(function(*arguments))
    finally:
        atexit._run_exitfuncs()  # as a process of its own would: multiprocessing leaves them out
