from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ganserve.training.config import BestMetric
from ganserve.training.evaluation import Scores
from ganserve.training.selection import select
from ganserve.training.state import Best


@pytest.mark.parametrize(("metric", "values"), [("fid_domain", (3.0, 1.0, 2.0)), ("coverage", (0.1, 0.8, 0.5))])
def test_the_best_is_kept_and_evaluations_since_are_counted(
    scores: Scores, metric: BestMetric, values: tuple[float, float, float]
) -> None:
    best: Best | None = None
    for step, value in enumerate(values):
        changed: dict[str, Any] = {metric: value}
        best = select(best, dataclasses.replace(scores, **changed), metric, step=step, judge="a")
    assert best == Best(value=values[1], step=1, judge="a", num_since=1)


def test_a_score_that_is_not_a_number_is_never_best(scores: Scores) -> None:
    nothing = dataclasses.replace(scores, fid_domain=float("nan"))
    best = select(None, nothing, "fid_domain", step=1, judge="a")
    best = select(best, scores, "fid_domain", step=2, judge="a")
    assert select(best, nothing, "fid_domain", step=3, judge="a") == Best(
        value=scores.fid_domain, step=2, judge="a", num_since=1
    )


def test_another_judge_begins_anew(scores: Scores) -> None:
    best = Best(value=0.0, step=1, judge="a", num_since=3)
    assert select(best, scores, "fid_domain", step=2, judge="b") == Best(scores.fid_domain, step=2, judge="b")
