"""Orders in which an endless sequence goes through a number of rows. Each is a function of a seed and of the epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


class Order(Protocol):
    """Position p of the sequence is row `of_epoch(p // length)[p % length]`."""

    @property
    def length(self) -> int:
        """Positions of an epoch."""

    def of_epoch(self, epoch: int) -> Rows:
        """The rows of an epoch in their order, int64 (length,)."""


@dataclass(frozen=True)
class Shuffled:
    """Every row once an epoch."""

    length: int
    seed: int

    def of_epoch(self, epoch: int) -> Rows:
        """See `Order`."""
        return np.random.default_rng((self.seed, epoch)).permutation(self.length)


@dataclass(frozen=True)
class ClassesAlike:
    """Every class once a round, in an order that changes from round to round, however many rows it has.

    An epoch has about as many positions as there are rows. A class shows all of its rows before it shows one again,
    and epochs do not interrupt that.
    """

    rows_of_classes: tuple[Rows, ...]
    """For each class its rows, at least one."""

    seed: int

    @property
    def num_rounds(self) -> int:
        """Rounds of an epoch."""
        num_classes = len(self.rows_of_classes)
        return -(-sum(map(len, self.rows_of_classes)) // num_classes)

    @property
    def length(self) -> int:
        """See `Order`."""
        return self.num_rounds * len(self.rows_of_classes)

    def of_epoch(self, epoch: int) -> Rows:
        """See `Order`."""
        rounds = np.arange(self.num_rounds)
        rng = np.random.default_rng((self.seed, epoch))
        classes = rng.permuted(np.tile(np.arange(len(self.rows_of_classes)), (self.num_rounds, 1)), axis=1)
        drawn = np.stack([self._draws(number, epoch) for number in range(len(self.rows_of_classes))])
        rows: Rows = drawn[classes, rounds[:, None]].ravel()
        return rows

    def _draws(self, number: int, epoch: int) -> Rows:
        """What a class shows in each round of an epoch.

        Its rows come in blocks of whole passes through them, as many as an epoch needs or one, so that the cost of an
        epoch does not depend on how small a class is.
        """
        rows = self.rows_of_classes[number]
        num_passes = max(1, self.num_rounds // len(rows))
        block_length = num_passes * len(rows)
        first, end = epoch * self.num_rounds, (epoch + 1) * self.num_rounds
        blocks = []
        for block in range(first // block_length, (end - 1) // block_length + 1):
            rng = np.random.default_rng((self.seed, number, block, 1))
            blocks.append(rng.permuted(np.tile(rows, (num_passes, 1)), axis=1).ravel())
        start = first % block_length
        return np.concatenate(blocks)[start : start + self.num_rounds]


def rows_by_class(labels: npt.NDArray[np.int64], num_repeats: int = 1) -> tuple[Rows, ...]:
    """The rows of each class that has any; with `num_repeats`, rows r, r + N, r + 2 N … are the same image."""
    repeated = np.tile(labels, num_repeats)
    order = np.argsort(repeated, kind="stable")
    _, starts = np.unique(repeated[order], return_index=True)
    return tuple(np.split(order, starts[1:]))
