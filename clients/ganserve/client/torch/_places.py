"""Places in a map-style data set."""

from __future__ import annotations

import operator
from collections.abc import Sequence


def check_places(places: Sequence[int], length: int) -> list[int]:
    """Places as ints from 0; those below 0 count from the end. Raises IndexError or TypeError."""
    return [_check_place(place, length) for place in places]


def _check_place(place: int, length: int) -> int:
    number = operator.index(place)
    if not -length <= number < length:
        raise IndexError(f"item {number} of a data set of {length}")
    return number % length
