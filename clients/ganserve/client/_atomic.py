"""Files and folders that are there in full or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ganserve.contract.errors import ArtifactError


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path`, in place of what was there, when the body ends well.

    Raises:
        ArtifactError: it cannot be written.
    """
    partial = _partial(path)
    try:
        with _write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink()


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """An empty folder to write to, which becomes `path`, in place of what was there, when the body ends well.

    Raises:
        ArtifactError: it cannot be written.
    """
    partial = _partial(path)
    try:
        with _write_errors(path):
            partial.mkdir(parents=True)
            yield partial
            _put_in_place(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _put_in_place(partial: Path, path: Path) -> None:
    if not path.exists():
        partial.rename(path)
        return
    former = path.with_name(f".{path.name}.{os.getpid()}.former")
    path.rename(former)
    partial.rename(path)
    shutil.rmtree(former)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ArtifactError(f"{path} cannot be written: {error.strerror or error}") from error
