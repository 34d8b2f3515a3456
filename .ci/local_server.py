"""A server on this machine over models that were made for the occasion, for the checks beside it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WAIT_S = 60


@contextmanager
def serving(models: Path, work: Path, *flags: str) -> Iterator[str]:
    """A server on a free port, which logs to `work/server.log`; gives its address."""
    ready = work / "address"
    words = ("serve", "--models", models, "--listen", "127.0.0.1:0", "--device", "cpu", "--ready-file", ready, *flags)
    with (work / "server.log").open("w") as log:
        server = subprocess.Popen(command(*words), cwd=work, stderr=log)
        try:
            while not ready.exists():
                if server.poll() is not None:
                    sys.exit(f"the server ended with {server.returncode}:\n{(work / 'server.log').read_text()}")
                try:
                    server.wait(0.1)
                except subprocess.TimeoutExpired:
                    continue
            yield ready.read_text().strip()
        finally:
            server.terminate()
            server.wait(WAIT_S)


def http_address(work: Path) -> str:
    """Where the server that logs to `work` listens for HTTP."""
    found = re.search(r"HTTP on http://(\S+)", (work / "server.log").read_text())
    if not found:
        sys.exit("the server has no HTTP port")
    return found[1]


def make_digits(work: Path) -> Path:
    """A folder with the bundle `digits`, of a generator that was trained for two steps."""
    flags = ("--steps", "2", "--batch-size", "8", "--base-width", "8", "--evaluate-every", "0")
    ganserve("train", "--data", "digits", "--out", "run", *flags, cwd=work)
    ganserve("export", "run", "--onnx", "--models", "models", "--name", "digits", cwd=work)
    return work / "models"


def ganserve(*words: object, cwd: Path) -> None:
    """Runs a command to its end."""
    run(*command(*words), cwd=cwd)


def command(*words: object) -> list[str]:
    """The words of a command of ganserve."""
    return [sys.executable, "-m", "ganserve.cli", *map(str, words)]


def run(*words: object, cwd: Path, env: dict[str, str] | None = None) -> None:
    """Runs any command to its end; one that fails ends the check."""
    subprocess.run([str(word) for word in words], cwd=cwd, env=env, check=True)
