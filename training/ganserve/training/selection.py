"""Which checkpoint is the best, and when to stop waiting for a better one. GAN training often gets worse late."""

from __future__ import annotations

import dataclasses
import math

from .config import BestMetric
from .evaluation import Scores
from .state import Best

_LOWER_IS_BETTER: frozenset[BestMetric] = frozenset({"fid_domain", "kid"})


def select(best: Best | None, scores: Scores, metric: BestMetric, *, step: int, judge: str) -> Best:
    """The best evaluation after one more at `step`; it is the new one where `.step` is `step`.

    So it is after a change of `judge`, the feature extractor's digest, because values of two judges cannot be compared.
    """
    value = getattr(scores, metric)
    sign = 1 if metric in _LOWER_IS_BETTER else -1
    if best is None or best.judge != judge or math.isnan(best.value) or sign * value < sign * best.value:
        return Best(value=value, step=step, judge=judge)
    return dataclasses.replace(best, num_since=best.num_since + 1)
