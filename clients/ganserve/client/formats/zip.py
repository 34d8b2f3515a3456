"""A zip of what a folder of samples holds, uncompressed. It tells nothing of when or where it was written."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ganserve.contract.files import uncompressed_zip

from .contents import Contents
from .tree import TreeWriter

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_UNIX: Final = 3


@contextmanager
def writing_zip(path: Path, contents: Contents) -> Iterator[TreeWriter]:
    """Writes a file. Raises OSError."""
    with uncompressed_zip(path) as archive:
        writer = TreeWriter(contents, lambda name, data: archive.writestr(fixed_entry(name), data))
        yield writer
        writer.put_labels()


def fixed_entry(name: str) -> zipfile.ZipInfo:
    """An entry that is the same whenever and wherever it is written."""
    entry = zipfile.ZipInfo(name, date_time=_EPOCH)
    entry.create_system = _UNIX
    entry.external_attr = 0o644 << 16
    return entry
