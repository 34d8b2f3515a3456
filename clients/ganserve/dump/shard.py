"""The unit of a dump: one address range in one file.

It can be written any number of times, by anyone, at the same time too, and is the same bytes: so retrying, resuming and
going on elsewhere are all writing it again.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path
from typing import Protocol

from ganserve.client import SampleSource
from ganserve.contract.errors import ArtifactError
from ganserve.contract.files import new_file
from ganserve.v1.dump_pb2 import DumpShard

from .listing import lists_what_is_there
from .plan import Plan
from .records import begin, find_record, record


class Progress(Protocol):
    """Is told how far it is."""

    def advance(self, num_samples: int, num_bytes: int) -> None:
        """So many more samples are written."""

    def skip(self, num_samples: int) -> None:
        """So many samples are there already."""


class _Untold:
    def advance(self, num_samples: int, num_bytes: int) -> None:
        pass

    def skip(self, num_samples: int) -> None:
        pass


def write_shard(
    plan: Plan, shard: int, source: SampleSource, folder: str | Path, progress: Progress | None = None
) -> DumpShard:
    """Writes a shard, unless it is there and right.

    Args:
        plan: the dump.
        shard: which of its shards, from 0.
        source: where the samples come from.
        folder: of the dump; may be there, and may be shared with others that write the same plan.
        progress: is told how far it is.

    Returns:
        What the shard is now.

    Raises:
        ArtifactError: it cannot be written, as on a full disk. Nothing of it is there then.
        ConfigError: the folder holds something else, or there is no such shard.
        PreconditionError: the source may differ in a pixel from what the plan was made with.
        RequestError: as `Client.batches` does.
    """
    folder, told = Path(folder), progress or _Untold()
    first_index, count = plan.span(shard)
    begin(plan, folder)
    if known := _find(plan, shard, folder):
        told.skip(count)
        return known
    path = folder / plan.file_name(shard)
    try:
        with new_file(path) as partial:
            beside_bytes = _write(plan, shard, source, partial, told)
            written = DumpShard(
                file=path.name,
                first_index=first_index,
                count=count,
                sha256=_digest(partial),
                size_bytes=partial.stat().st_size + beside_bytes,
            )
        record(plan, written, folder)
    except ArtifactError as error:
        # Whoever finished the dump in between has cleared away what others were still writing.
        if isinstance(error.__cause__, FileNotFoundError) and (known := _find(plan, shard, folder)):
            return known
        if isinstance(error.__cause__, OSError):
            raise ArtifactError(f"{error}; shards that are done stay, and the same call goes on from there") from error
        raise
    return written


def _write(plan: Plan, shard: int, source: SampleSource, path: Path, told: Progress) -> int:
    """Writes a shard's file. Returns the bytes of the files that lie beside it."""
    num_bytes = 0
    with plan.form.writing(path, plan.contents(shard)) as writer, closing(plan.samples(shard, source)) as batches:
        for samples in batches:
            writer.add(samples)
            told.advance(len(samples), writer.num_bytes - num_bytes)
            num_bytes = writer.num_bytes
    return num_bytes if plan.form.lists_files else 0


def _find(plan: Plan, shard: int, folder: Path) -> DumpShard | None:
    """A shard that is there and right."""
    known = find_record(plan, shard, folder)
    if known is None:
        return None
    path = folder / known.file
    try:
        is_right = _digest(path) == known.sha256
    except OSError:
        return None
    if is_right and plan.form.lists_files:
        is_right = lists_what_is_there(path)
    return known if is_right else None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
