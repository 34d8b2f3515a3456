"""Which checkpoint is the best. GAN training often gets worse late."""

from __future__ import annotations

import math

from .config import BestMetric
from .state import Best

_LOWER_IS_BETTER: frozenset[BestMetric] = frozenset({"fid_domain", "kid"})


def is_new_best(candidate: Best, best: Best | None, metric: BestMetric) -> bool:
    """Whether a fresh evaluation takes the place of the best so far.

    After a change of the judge it always does, because values of two judges cannot be compared. So does the best itself
    when it comes again: a run that was cut off repeats steps, and then goes on as if it had not been.
    """
    if best is None or best.judge != candidate.judge or math.isnan(best.value):
        return True
    sign = 1 if metric in _LOWER_IS_BETTER else -1
    is_repeated = (candidate.value, candidate.step) == (best.value, best.step)
    return is_repeated or sign * candidate.value < sign * best.value
