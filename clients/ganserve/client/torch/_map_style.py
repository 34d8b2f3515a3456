"""What map-style data sets have in common that fetch a batch at once."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Final

from torch.utils.data import Dataset

_ITERATED_AT_ONCE: Final = 64


class MapStyle(Dataset[Any], ABC):
    """Items by number, any of them at once."""

    @abstractmethod
    def __len__(self) -> int:
        """Items of the present epoch."""

    @abstractmethod
    def __getitems__(self, places: Sequence[int]) -> list[Any]:
        """The items at these places, with one request for all synthetic ones.

        Raises:
            IndexError: a place beyond the last.
            RequestError: the source does not answer.
        """

    def __getitem__(self, place: int) -> Any:
        return self.__getitems__([place])[0]

    def __iter__(self) -> Iterator[Any]:
        length = len(self)
        for start in range(0, length, _ITERATED_AT_ONCE):
            yield from self.__getitems__(range(start, min(start + _ITERATED_AT_ONCE, length)))


def check_places(places: Sequence[int], length: int) -> list[int]:
    """Places as ints from 0; those below 0 count from the end. Raises IndexError or TypeError."""
    return [_check_place(place, length) for place in places]


def _check_place(place: int, length: int) -> int:
    number = operator.index(place)
    if not -length <= number < length:
        raise IndexError(f"item {number} of a data set of {length}")
    return number % length
