"""Files and folders that are there in full or not at all."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

from ganserve.contract.errors import ArtifactError

_ABANDONED_AFTER_S = 24 * 3600
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_TOKEN_BYTES = 4


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path`, in place of what was there, when the body ends well.

    The data is on disk before the name changes. A link goes on leading to the file.

    Raises:
        ArtifactError: it cannot be written, or is a folder, a device, a pipe or a socket.
    """
    target = _file_behind(path)
    partial = _partial(target)
    try:
        with _write_errors(path):
            target.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            sync(partial)
            partial.replace(target)
            sync(target.parent)
    finally:
        with suppress(OSError):
            partial.unlink()


@contextmanager
def uncompressed_zip(path: Path) -> Iterator[ZipFile]:
    """A zip to be written, which is ended when the body ends well.

    Otherwise it is torn and the body's own error is raised: `ZipFile` would first try to end what was begun, and raise
    another where that was interrupted within an entry.

    Raises:
        OSError: it cannot be written.
    """
    with path.open("wb") as file:
        archive = ZipFile(file, "w", ZIP_STORED)
        try:
            yield archive
            archive.close()
        finally:
            archive.fp = None  # nothing is ended later, when it is let go of


def check_new_file(path: Path) -> None:
    """Tries whether `new_file` could write, and leaves everything as it was. Raises ArtifactError as that does."""
    target = _file_behind(path)
    with _write_errors(path):
        folder = next(folder for folder in target.parents if folder.exists())
        trial = folder / _partial(target).name
        trial.touch(exist_ok=False)
        trial.unlink()


def _file_behind(path: Path) -> Path:
    """Where a file lies, or is to lie, to which a path leads. Raises ArtifactError where something else is there."""
    try:
        with _write_errors(path):
            target = path.resolve()
            is_folder, is_something_else = target.is_dir(), target.exists() and not target.is_file()
    except RuntimeError as error:  # of links that lead to each other
        raise ArtifactError(f"{path} cannot be written: {error}") from error
    if is_folder:
        raise ArtifactError(f"{path} is a folder; give the name of a file")
    if is_something_else:
        raise ArtifactError(f"{path} is there and no file that could be replaced; give another name")
    return target


def create_file(path: Path, data: bytes) -> bool:
    """Writes a file where none is, in full or not at all. Of several processes, one does, and is told so.

    Raises:
        ArtifactError: it cannot be written.
    """
    partial = _partial(path)
    try:
        with _write_errors(path):
            partial.write_bytes(data)
            sync(partial)
            try:
                path.hardlink_to(partial)
            except FileExistsError:
                return False
            except OSError:  # a file system without links
                if path.exists():
                    return False
                partial.replace(path)
            sync(path.parent)
            return True
    finally:
        with suppress(OSError):
            partial.unlink()


@contextmanager
def new_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """An empty folder to write to, which becomes `path` when the body ends well.

    What processes that were killed have left beside it is removed after a day.
    Its files are not forced to the disk; where that matters, the body calls `sync`.

    Args:
        path: the folder to be.
        replace: whether it may take the place of a folder that is there.

    Raises:
        ArtifactError: it cannot be written, or `path` is there and may not be replaced.
    """
    if replace:
        path = path.resolve()
    partial = _partial(path)
    try:
        with _write_errors(path):
            partial.mkdir(parents=True)
            yield partial
            sync(partial)
            if replace and path.exists():
                _exchange(partial, path)
            else:
                partial.rename(path)
            sync(path.parent)
            _remove_abandoned(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _remove_abandoned(folder: Path) -> None:
    """Removes what a process that was killed left in `folder` while it wrote, a day or more ago."""
    oldest_s = time.time() - _ABANDONED_AFTER_S
    for path in folder.glob(f".*.{'[0-9a-f]' * 2 * _TOKEN_BYTES}.partial"):
        with suppress(OSError):
            if path.stat().st_ctime < oldest_s:  # a bundle's files may have been given another st_mtime
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _exchange(new: Path, old: Path) -> None:
    """Gives two folders each other's name: in one step where the system can, so that `old` is there at any moment."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if hasattr(libc, "renameat2"):
            names = os.fsencode(new), os.fsencode(old)
            if libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
                return
    former = _partial(old)
    old.rename(former)
    try:
        new.rename(old)
    except OSError:
        former.rename(old)
        raise
    former.rename(new)


def read_regular_file(path: Path, max_bytes: int) -> bytes:
    """Reads a file that lies where its path says: links are not followed, and a pipe does not block.

    Raises:
        ArtifactError: there is no such file, it is no regular one, or it is larger than `max_bytes`.
    """
    try:
        with open(path, "rb", opener=_open_in_place) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > max_bytes:
                raise ArtifactError(f"{path} is not a regular file of at most {max_bytes} bytes")
            return file.read()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be opened as a regular file: {error.strerror}") from error


def _open_in_place(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def sync(path: Path) -> None:
    """Waits until a file, or the list of a folder's files, is on disk."""
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(_TOKEN_BYTES)}.partial")


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ArtifactError(f"{path} cannot be written: {error.strerror or error}") from error
