"""Entries of zip files, opened only where what they claim is possible, and how far anything packed may unpack."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ganserve.contract.errors import DatasetError

BROKEN = (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
"""What Python's readers of packed files raise for files that are not what they claim."""

_ZIP_START = b"PK\3\4"
_ZIP_SUFFIXES = frozenset({".zip", ".npz"})
_MAX_RATIO = 200
_NEVER_TOO_MUCH_BYTES = 64 * 2**20
# Only with these does `zipfile` unpack no more than it is asked for.
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})


def max_unpacked_bytes(num_packed_bytes: int) -> int:
    """How much so many packed bytes may become: 200 times as much, or 64 MiB where that is more."""
    return max(_NEVER_TOO_MUCH_BYTES, _MAX_RATIO * num_packed_bytes)


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """The zip at `path`. Raises DatasetError where it is none, or a broken one."""
    try:
        archive = zipfile.ZipFile(path)
    except BROKEN as error:
        raise DatasetError(f"{path}: not a zip file, or a broken one ({error}); make it again") from error
    with archive:
        yield archive


def fault_of_zip(path: Path) -> str:
    """What ails a file that begins or is named like a zip, but cannot be opened as one; empty for any other."""
    with path.open("rb") as file:
        start = file.read(len(_ZIP_START))
    if start == _ZIP_START:
        return "a torn zip file, whose end is missing"
    if path.suffix.lower() in _ZIP_SUFFIXES:
        return "named like a zip file, but " + ("no zip file" if start else "empty")
    return ""


def is_folder(entry: zipfile.ZipInfo) -> bool:
    """Whether an entry is a folder's; its name may be empty, for which `ZipInfo.is_dir` fails."""
    return entry.filename.endswith(("/", "\\"))


def open_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, max_bytes: int | None = None) -> IO[bytes]:
    """Opens one entry, which then unpacks to no more than `entry.file_size` bytes.

    Raises:
        ValueError: it claims more than `max_bytes` or than the archive can hold, or is encrypted or packed by a method
            that cannot be unpacked piece by piece.
        OSError, NotImplementedError, zipfile.BadZipFile: it is broken.
    """
    if max_bytes is not None and entry.file_size > max_bytes:
        raise ValueError(f"{entry.file_size:,} bytes, more than {max_bytes:,}")
    if entry.flag_bits & 0x1:
        raise ValueError("encrypted")
    if entry.compress_type not in _METHODS:
        raise ValueError("packed by another method than deflate")
    num_packed_bytes = min(entry.compress_size, Path(archive.filename or "").stat().st_size)
    if entry.file_size > max_unpacked_bytes(num_packed_bytes):
        raise ValueError(f"{entry.file_size:,} bytes, which cannot be in {num_packed_bytes:,} packed ones")
    return archive.open(entry)
