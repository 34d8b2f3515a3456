"""Several processes that train one generator together: each its own part of every batch, all of them the same weights.

torchrun starts the processes and numbers them in the environment. They start from the same seed, average their
gradients before each step of an optimiser, and so never drift apart. A single process is `ALONE`, for which all of this
does nothing.

Batch norm is the exception to "as one process would": each rank takes the statistics of its own part of the batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from ganserve.contract.errors import ConfigError, GanserveError

_TIMEOUT = timedelta(hours=1)
"""How long one rank waits for another. The first decodes, evaluates and saves while the others wait."""


@dataclass(frozen=True)
class Ranks:
    """Which of the processes this one is."""

    rank: int = 0
    """From 0 to `num_ranks` - 1."""

    num_ranks: int = 1
    """Processes on all machines together."""

    local_rank: int = 0
    """Among the processes of this machine, which is also the number of its GPU."""

    @classmethod
    def from_environment(cls) -> Ranks:
        """Those that torchrun tells of in RANK, WORLD_SIZE and LOCAL_RANK. Raises ConfigError."""
        if "RANK" not in os.environ:
            return ALONE
        try:
            rank, num_ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
            ranks = cls(rank, num_ranks, int(os.environ.get("LOCAL_RANK", "0")))
        except (KeyError, ValueError) as error:
            raise ConfigError(f"RANK is set, but {error} in WORLD_SIZE or LOCAL_RANK; start with torchrun") from error
        if not (0 <= rank < num_ranks and ranks.local_rank >= 0):
            raise ConfigError(f"RANK {rank} of WORLD_SIZE {num_ranks} cannot be; start with torchrun, or unset both")
        return ranks

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes, prints and evaluates."""
        return self.rank == 0

    def share_of(self, batch_size: int) -> int:
        """Images of a batch that each rank takes. Raises ConfigError where they cannot all have as many."""
        share, rest = divmod(batch_size, self.num_ranks)
        if rest or (share < 2 and self.num_ranks > 1):
            raise ConfigError(
                f"--batch-size is {batch_size}, of all {self.num_ranks} processes together; "
                f"give a multiple of {self.num_ranks}, and at least {2 * self.num_ranks}"
            )
        return share

    @contextmanager
    def joined(self, device: torch.device) -> Iterator[None]:
        """Connects the ranks, through NCCL where `device` is a GPU. Those that are connected already stay so.

        Raises ConfigError where they do not meet.
        """
        if self.num_ranks == 1 or dist.is_initialized():
            yield
            return
        # Imported later, it would keep the connection alive in defaults of its functions until Python itself is gone,
        # when gloo's threads bring the process down.
        import torch.distributed.nn.functional

        is_on_cuda = device.type == "cuda"
        if is_on_cuda:
            torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl" if is_on_cuda else "gloo"
        try:
            dist.init_process_group(backend, rank=self.rank, world_size=self.num_ranks, timeout=_TIMEOUT)
        except (RuntimeError, ValueError) as error:
            raise ConfigError(
                f"rank {self.rank} cannot meet the others ({_first_line(error)}); start all of them with torchrun"
            ) from error
        try:
            yield
        except BaseException:
            # NCCL would first wait for ranks that may be gone, so it is left to the end of the process.
            if not is_on_cuda:
                dist.destroy_process_group()
            raise
        dist.destroy_process_group()

    @contextmanager
    def one_of_each_machine_first(self) -> Iterator[None]:
        """Lets the others of a machine in when its first rank is out, so that they find in a cache what it made."""
        if self.local_rank > 0:
            self.largest(0)
        yield
        if self.local_rank == 0:
            self.largest(0)

    @torch.no_grad()
    def average_(self, tensors: Sequence[Tensor]) -> None:
        """Replaces each tensor, float32 on the device, with its mean over the ranks: the same bits at every rank.

        Not a number at one rank is not a number at all of them. It is one all-reduce of all tensors in a row, and
        nobody waits for it on CUDA. Raises GanserveError where a rank is gone.
        """
        if self.num_ranks == 1:
            return
        row = torch.cat([tensor.reshape(-1) for tensor in tensors])
        self._reduce(row, dist.ReduceOp.SUM)
        means = row.div_(self.num_ranks).split_with_sizes([tensor.numel() for tensor in tensors])
        torch._foreach_copy_(
            list(tensors), [mean.view(tensor.shape) for mean, tensor in zip(means, tensors, strict=True)]
        )

    def largest(self, *values: int) -> tuple[int, ...]:
        """The largest of each value over the ranks. All must ask, so it is also where they wait for each other.

        It goes between the processors, so it does not wait for work on the GPUs. Raises GanserveError where a rank is
        gone.
        """
        if self.num_ranks == 1:
            return values
        row = torch.tensor(values)
        self._reduce(row, dist.ReduceOp.MAX)
        return tuple(row.tolist())

    def _reduce(self, row: Tensor, operation: dist.ReduceOp.RedOpType) -> None:
        try:
            dist.all_reduce(row, operation)
        except RuntimeError as error:
            raise GanserveError(
                f"rank {self.rank} has lost the others ({_first_line(error)}); the first to fail says why, and "
                "--resume continues from the last checkpoint"
            ) from error


ALONE = Ranks()
"""A single process."""


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
