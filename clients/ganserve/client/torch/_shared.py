"""Numbers that workers see change, however long ago and however they were started."""

from __future__ import annotations

from typing import Any

import torch


class SharedNumbers:
    """Whole numbers, at first 0, in memory that the workers of a `DataLoader` share with the process that made them.

    Workers that persist keep a copy of the data set from their start, so the number of the epoch as a plain attribute
    would stay what it was then. A copy that is pickled or copied for another purpose has memory of its own.
    """

    def __init__(self, count: int = 1) -> None:
        self._cells = torch.zeros(count, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    def __getitem__(self, place: int) -> int:
        return int(self._cells[place])

    def __setitem__(self, place: int, number: int) -> None:
        self._cells[place] = number

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        if not self._cells.is_shared():
            self._cells.share_memory_()
