"""What lies in the folder of a dump and is no part of it, though whoever reads the folder may read that too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ganserve.client.formats.tree import LABELS_FILE
from ganserve.v1.dump_pb2 import DumpShard

from .listing import listed_files
from .plan import Plan
from .records import DUMP_FILE, is_record


def describe_strays(plan: Plan, shards: Sequence[DumpShard], folder: Path) -> str:
    """Names them in a line; empty where there are none.

    Args:
        plan: the dump.
        shards: all of its shards, which are there.
        folder: of the dump.
    """
    own = {DUMP_FILE, *(shard.file for shard in shards)}
    if plan.form.lists_files:
        own |= {LABELS_FILE, *(file for shard in shards for file in listed_files(folder / shard.file))}
    strays = sorted(set(_files(folder)) - own)
    if not strays:
        return ""
    more = f" and {len(strays) - 1:,} more" if len(strays) > 1 else ""
    return f"{folder} holds {strays[0]}{more}, no part of the dump; what reads the folder may read that too"


def _files(folder: Path) -> Iterator[str]:
    """All that are neither hidden nor records, which another process may be writing."""
    for path in folder.rglob("*"):
        inner = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in inner.parts) and not is_record(path):
            yield inner.as_posix()
