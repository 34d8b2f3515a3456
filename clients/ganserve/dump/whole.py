"""All shards of a dump, or a share of them, one after the other."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ganserve.client import SampleSource
from ganserve.v1.dump_pb2 import DumpShard

from .plan import Plan
from .records import finish
from .shard import Progress, write_shard


def write_dump(plan: Plan, source: SampleSource, folder: str | Path, progress: Progress | None = None) -> str:
    """Writes all shards that are not there and right, and then `dump.json`, which says that they are.

    Args:
        plan: the dump.
        source: where the samples come from.
        folder: of the dump; goes on with what is there.
        progress: is told how far it is.

    Returns:
        SHA-256 of `dump.json`, which covers every byte of the dump.

    Raises:
        ArtifactError: it cannot be written, as on a full disk. Shards that are done stay.
        ConfigError: the folder holds something else.
        PreconditionError: the source may differ in a pixel from what the plan was made with.
        RequestError: as `Client.batches` does.
    """
    shards = write_shards(plan, range(plan.num_shards), source, folder, progress)
    return finish(plan, shards, Path(folder))


def write_shards(
    plan: Plan, shards: Iterable[int], source: SampleSource, folder: str | Path, progress: Progress | None = None
) -> list[DumpShard]:
    """Some shards of a dump; see `write_shard`."""
    pinned = source.pinned()
    return [write_shard(plan, shard, pinned, folder, progress) for shard in shards]
