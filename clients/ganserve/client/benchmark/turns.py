"""One turn of taking samples, of a length in seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass

Contestant = Callable[[], Generator[int]]
"""Begins to take samples; the generator tells how many have come, each time that some have, until it is closed."""


@dataclass(frozen=True)
class Turn:
    """What came in one turn.

    Attributes:
        samples_per_s: rate.
        waits_s: seconds from each arrival to the next.
    """

    samples_per_s: float
    waits_s: list[float]


def take_turn(contestant: Contestant, turn_s: float) -> Turn:
    """Takes samples for `turn_s` seconds from the first arrival on, so that what it takes to begin does not count."""
    num_samples, waits_s = 0, []
    with closing(contestant()) as arrivals:
        next(arrivals)
        start_s = last_s = time.perf_counter()
        for count in arrivals:
            now_s = time.perf_counter()
            num_samples += count
            waits_s.append(now_s - last_s)
            last_s = now_s
            if now_s - start_s >= turn_s:
                break
    return Turn(num_samples / (last_s - start_s), waits_s)
