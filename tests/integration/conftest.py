"""A real server in a process of its own, over models that were really trained (for two steps) and exported."""

from __future__ import annotations

import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from ganserve.exporter import Target, export_run
from ganserve.training import TrainingConfig, training_from_config

_TIMEOUT_S = 60

RunCommand = Callable[..., "subprocess.CompletedProcess[str]"]


class ServerProcess:
    """`ganserve serve`, on a free port unless the flags say where; without `models`, of those in the folder `models`.

    Attributes:
        address: where it listens.
        log: the lines it has written so far.
    """

    def __init__(self, models: Path | None, *flags: str) -> None:
        command = [sys.executable, "-m", "ganserve.cli", "serve"]
        command += [] if models is None else ["--models", str(models)]
        command += [] if "--listen" in flags else ["--listen", "127.0.0.1:0"]
        # On the CPU, where samples are promised to be the same bytes that plain ONNX Runtime makes.
        command += ["--device", "cpu", *flags]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.address = ""
        self.log: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, pattern: str) -> str:
        """Waits for a line of the log and returns its first group, or all that matched."""
        while (line := self._lines.get(timeout=_TIMEOUT_S)) is not None:
            if match := re.search(pattern, line):
                return match[1] if match.groups() else match[0]
        raise AssertionError(f"the server ended without saying {pattern!r}:\n" + "\n".join(self.log))

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(_TIMEOUT_S)
        self._reader.join(_TIMEOUT_S)
        return code

    def close(self) -> None:
        """Ends the process in any case."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(_TIMEOUT_S)
        self._reader.join(_TIMEOUT_S)
        if self.process.stderr is not None:
            self.process.stderr.close()

    def _read(self) -> None:
        if self.process.stderr is not None:
            for line in self.process.stderr:
                self.log.append(line.rstrip())
                self._lines.put(line)
        self._lines.put(None)


StartServer = Callable[..., AbstractContextManager[ServerProcess]]


@pytest.fixture(scope="session")
def start_server() -> StartServer:
    """Starts servers that end with the `with` statement."""

    @contextmanager
    def start(models: Path | None, *flags: str) -> Iterator[ServerProcess]:
        server = ServerProcess(models, *flags)
        try:
            server.address = server.wait_for(r"serving on (\S+)")
            yield server
        finally:
            server.close()

    return start


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two steps: `digits` and `other-digits`, conditional, and `plain`, unconditional."""
    folder = tmp_path_factory.mktemp("runs")
    common = {"data": "digits", "steps": 2, "batch_size": 8, "base_width": 8, "latent_dim": 16, "evaluate_every": 0}
    for seed, name in enumerate(("digits", "other-digits")):
        training_from_config(TrainingConfig(out=folder / name, seed=seed, **common))  # type: ignore[arg-type]
    training_from_config(
        TrainingConfig(out=folder / "plain", arch="mlp", loss="wgan-gp", conditional=False, **common)  # type: ignore[arg-type]
    )
    return folder


@pytest.fixture(scope="session")
def models(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their bundles; `digits` in two versions, the second being `other-digits`."""
    folder = tmp_path_factory.mktemp("models")
    for run, name in (("digits", "digits"), ("other-digits", "digits"), ("plain", "plain")):
        export_run(runs / run, Target(models=folder, name=name))
    return folder


@pytest.fixture(scope="session")
def server(models: Path, start_server: StartServer) -> Iterator[ServerProcess]:
    """A server over those bundles, shared by the tests that do not stop it."""
    with start_server(models) as server:
        yield server


@pytest.fixture(scope="session")
def run_command() -> RunCommand:
    """Runs `ganserve` with some arguments to its end."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ganserve.cli", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)

    return run
