"""Data sets of samples on disk, of any size, that are the same bytes however they were written.

    from ganserve.client import LocalGenerator
    from ganserve.dump import make_plan, write_dump

    with LocalGenerator("models/digits/1") as source:
        plan = make_plan(source, 100_000, format="parquet", num_shards=16)
        write_dump(plan, source, "more")

A plan says which samples of which model stand in which shard. `write_shard(plan, k, source, folder)` writes one of
them, in any process on any machine, and `write_dump` all that are missing. The command is `ganserve dump`.
"""

from .plan import Plan
from .planning import make_plan
from .records import read_dump
from .shard import write_shard
from .whole import write_dump

__all__ = ["Plan", "make_plan", "read_dump", "write_dump", "write_shard"]
