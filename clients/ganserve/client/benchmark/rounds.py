"""What is taken in rounds of turns, and how much of it is missing where that ended early."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any


class TakenInRounds(ABC):
    """Figures, of each kind a value a round."""

    @abstractmethod
    def taken(self) -> Mapping[str, Sequence[Any]]:
        """The values of the turns that were taken, by what they measure."""

    @abstractmethod
    def num_rounds(self) -> int:
        """Rounds that were to be taken."""

    @property
    def num_turns(self) -> int:
        """Turns that were taken."""
        return sum(map(len, self.taken().values()))

    @property
    def num_turns_in_all(self) -> int:
        """Turns that were to be taken."""
        return len(self.taken()) * self.num_rounds()

    @property
    def missing(self) -> dict[str, int]:
        """Turns that were not taken, by what they measure; empty where none is missing."""
        num_missing = {name: self.num_rounds() - len(values) for name, values in self.taken().items()}
        return {name: number for name, number in num_missing.items() if number}
