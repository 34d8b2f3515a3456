"""Which of the processes that train together this one is, and which of its workers."""

from __future__ import annotations

import multiprocessing.context
import os
from typing import Any

import torch.distributed
from torch.utils.data import get_worker_info

from ganserve.client._queries.checks import whole_number
from ganserve.contract.errors import ConfigError


class Ranks:
    """A rank and the number of ranks.

    Those that were given; else those of `torch.distributed`, in the process that iterates or in the one that started it
    as a worker; else `RANK` and `WORLD_SIZE`, as torchrun sets them; else the only one.
    """

    def __init__(self, rank: int | None, num_ranks: int | None) -> None:
        """Raises ConfigError where only one is given, InvalidRequestError where they cannot be."""
        if (rank is None) != (num_ranks is None):
            raise ConfigError(f"rank is {rank} and num_ranks {num_ranks}; give both or neither")
        self._given: tuple[int, int] | None = None
        self._of_parent: tuple[int, int] | None = None
        if rank is not None:
            total = whole_number(num_ranks, "num_ranks", low=1, high=2**31, field="num_ranks")
            self._given = whole_number(rank, "rank", low=0, high=total - 1, field="rank"), total

    def now(self) -> tuple[int, int]:
        """The rank of this process and the number of ranks."""
        return self._given or _of_process_group() or self._of_parent or _of_environment() or (0, 1)

    def __getstate__(self) -> dict[str, Any]:
        """A worker that is spawned has no process group: it is told the rank of its parent."""
        is_spawning = multiprocessing.context.get_spawning_popen() is not None
        return {**self.__dict__, "_of_parent": (_of_process_group() or self._of_parent) if is_spawning else None}


def current_worker() -> tuple[int, int]:
    """The number of this worker of a `DataLoader`, and how many there are; 0 and 1 where there are none."""
    info = get_worker_info()
    return (0, 1) if info is None else (info.id, info.num_workers)


def _of_process_group() -> tuple[int, int] | None:
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return None
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


def _of_environment() -> tuple[int, int] | None:
    try:
        return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    except (KeyError, ValueError):
        return None
