"""A lock on a folder that one process holds at a time, and that ends with the process, however that ends."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_UNSUPPORTED = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})


class LockedError(Exception):
    """Another process holds the lock; the text says which."""


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Holds the lock of the file `path`, which is made where it is missing and stays: removing it would let two in.

    On a file system that has no locks, nothing is held. Raises LockedError where another process holds it, and OSError
    where the file cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            _lock(descriptor)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                holder = path.read_text(encoding="utf-8", errors="replace").strip()
                raise LockedError(holder or "another process") from error
        path.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Raises OSError where another process has the lock."""
    if sys.platform == "win32":
        import msvcrt

        # One byte, far beyond the text, which others must be able to read.
        os.lseek(descriptor, 2**30, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
