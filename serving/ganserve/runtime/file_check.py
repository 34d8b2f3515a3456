"""Checks an ONNX file in a process of its own, so that this one goes on answering.

Reading a graph with 200 MB of weights takes Python's lock for half a second, in which a server answers nobody; ONNX
Runtime takes it for a tenth where it is given bytes, and for a few milliseconds where it opens a file.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from ganserve.contract.errors import ArtifactError
from ganserve.v1.model_pb2 import ModelCard

from .onnx_file import read_card

_NICENESS: Final = 5
_SOON_READ_BYTES: Final = 8 * 1024**2
_DESCRIPTORS: Final = Path("/proc/self/fd")
_CHUNK_BYTES: Final = 16 * 1024**2


class CheckedFile(NamedTuple):
    """A model that was checked.

    Attributes:
        card: the card that it carries.
        model: its bytes, or where they lie as a file that nobody can change.
    """

    card: ModelCard
    model: bytes | Path


@contextmanager
def checked_aside(model: bytes, *, source: str) -> Iterator[CheckedFile]:
    """As `read_card`, and without holding up other threads. What it gives can be opened while the body runs.

    A small file is soon read, and systems other than Linux have no files in memory: this process checks those itself.
    """
    if len(model) <= _SOON_READ_BYTES or sys.platform != "linux" or not _DESCRIPTORS.exists():
        yield CheckedFile(read_card(model, source=source), model)
        return
    with _sealed(model) as descriptor:
        command = [sys.executable, "-P", "-m", __name__, str(descriptor), source]
        done = subprocess.run(command, pass_fds=[descriptor], capture_output=True, check=False)  # noqa: S603
        said = done.stderr.decode(errors="replace").strip()
        if done.returncode == ArtifactError.exit_code:
            raise ArtifactError(said)
        if done.returncode < 0:
            raise ArtifactError(
                f"{source}: the process that checks it was killed by signal {-done.returncode}, perhaps for lack of "
                "memory; load it again, or touch it where its folder is watched"
            )
        if done.returncode:
            last = said.splitlines()[-1] if said else "nothing was said"
            raise ArtifactError(f"{source}: the process that checks it ended with {done.returncode} ({last})")
        yield CheckedFile(ModelCard.FromString(done.stdout), _DESCRIPTORS / str(descriptor))


@contextmanager
def _sealed(data: bytes) -> Iterator[int]:
    """Bytes as a file in memory that nobody can change, by its descriptor."""
    descriptor = os.memfd_create("model", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest[:_CHUNK_BYTES]) :]
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def main(descriptor: int, source: str) -> int:
    """Writes the card to standard output, or what is wrong to standard error; returns the exit code."""
    os.nice(_NICENESS)
    with open(descriptor, "rb") as file:
        model = file.read()
    try:
        card = read_card(model, source=source)
    except ArtifactError as error:
        sys.stderr.write(str(error))
        return ArtifactError.exit_code
    sys.stdout.buffer.write(card.SerializeToString())
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2]))
