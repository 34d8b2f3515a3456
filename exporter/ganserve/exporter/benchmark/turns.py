"""Contestants taken in turns, so that what else the machine does meets all alike."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from .contestants import Contestant

_WARM_UP_BATCHES: Final = 5


def in_turns(contestants: Sequence[Contestant], num_rounds: int, turn_s: float) -> list[list[float]]:
    """Batches/s of each contestant, one value a round. The order of the turns changes from round to round."""
    num_batches = []
    for contestant in contestants:
        contestant.make(_WARM_UP_BATCHES)
        pace = _batches_per_s(contestant, _WARM_UP_BATCHES)
        num_batches.append(max(_WARM_UP_BATCHES, round(turn_s * pace)))
    rates: list[list[float]] = [[] for _ in contestants]
    indices = range(len(contestants))
    for number in range(num_rounds):
        for i in indices if number % 2 == 0 else reversed(indices):
            rates[i].append(_batches_per_s(contestants[i], num_batches[i]))
    return rates


def _batches_per_s(contestant: Contestant, num_batches: int) -> float:
    start_s = time.perf_counter()
    contestant.make(num_batches)
    return num_batches / (time.perf_counter() - start_s)
