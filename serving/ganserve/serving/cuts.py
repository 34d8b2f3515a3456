"""Why a batch holds the rows that it does, and no more."""

from __future__ import annotations

from enum import Enum


class Cut(Enum):
    """What ended a batch."""

    DRAINED = "drained"
    """Nothing else waited."""
    FULL = "full"
    """It is as large as a run may be."""
    DIVIDED = "divided"
    """The rest is for other idle lanes."""
    SIZED = "sized"
    """A row costs less in a batch of this size than in a larger one that could be filled."""
    PRIORITY = "priority"
    """Urgent rows run without bulk ones beside them."""


def why_cut(num_rows: int, num_left: int, *, num_planned: int, num_waiting: int, num_lanes: int, max_batch: int) -> Cut:
    """What ended a batch.

    Args:
        num_rows: rows of the batch.
        num_left: rows that still wait.
        num_planned: rows that it might have had.
        num_waiting: rows that waited before.
        num_lanes: idle lanes that those were divided over.
        max_batch: most rows of a run.
    """
    if not num_left:
        return Cut.DRAINED
    if num_rows == max_batch:
        return Cut.FULL
    if num_rows < num_planned:
        return Cut.PRIORITY
    return Cut.DIVIDED if num_planned == -(-num_waiting // num_lanes) else Cut.SIZED
