"""Environments of other makers' servers, each of its own, of the packages that its requirements pin."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import peer_servers

from .errors import PeerError

REQUIREMENTS = Path(peer_servers.__file__).parent / "requirements"
SHOWN_CHARACTERS = 300


def python_of(peer: str, folder: Path) -> str:
    """The Python that runs a peer's server, in an environment that is made where it is not there or not up to date.

    Raises:
        PeerError: the packages cannot be installed.
    """
    requirements = REQUIREMENTS / f"{peer}.txt"
    if not requirements.exists():  # it needs nothing that is not here
        return sys.executable
    python, made_of = folder / "bin" / "python", folder / "requirements.txt"
    if not made_of.exists() or made_of.read_bytes() != requirements.read_bytes():
        print(f"installing {peer}", file=sys.stderr, flush=True)
        _run(peer, sys.executable, "-m", "venv", "--clear", folder)
        _run(peer, python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements)
        made_of.write_bytes(requirements.read_bytes())
    return str(python)


def _run(peer: str, *words: object) -> None:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise PeerError(f"{peer} cannot be installed: {' '.join(errors)[:SHOWN_CHARACTERS]}")
