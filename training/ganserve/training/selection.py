"""Which checkpoint is the best. GAN training often gets worse late."""

from __future__ import annotations

import math

from .scores import READINGS, BestMetric
from .state import Best


def is_new_best(candidate: Best, best: Best | None, metric: BestMetric) -> bool:
    """Whether a fresh evaluation takes the place of the best so far.

    After a change of the judge it always does, because values of two judges cannot be compared. So does the best itself
    when it comes again: a run that was cut off repeats steps, and then goes on as if it had not been.
    """
    if best is None or best.judge != candidate.judge or math.isnan(best.value):
        return True
    sign = 1 if READINGS[metric].better == "lower" else -1
    is_repeated = (candidate.value, candidate.step) == (best.value, best.step)
    return is_repeated or sign * candidate.value < sign * best.value
