"""What tells one state of a source from another, without reading its pixels."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def of_files(root: Path, paths: Iterable[Path]) -> str:
    """SHA-256, as hex, over where `root` really is and each file's path below it, size, and times of change.

    Times are those of the data and of the inode (`mtime_ns`, `ctime_ns`), so a file put in place of another is seen
    even where it has its size and its date. A link to nowhere has none of these.
    """
    sha256 = hashlib.sha256(os.fsencode(root.resolve()))
    for path in sorted(paths):
        sha256.update(b"\0%b\0" % os.fsencode(path.relative_to(root)))
        with suppress(OSError):
            status = path.stat()
            sha256.update(b"%d %d %d" % (status.st_size, status.st_mtime_ns, status.st_ctime_ns))
    return sha256.hexdigest()


def of_text(*parts: object) -> str:
    """SHA-256, as hex, over the text of `parts`."""
    text = "\0".join(map(str, parts))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
