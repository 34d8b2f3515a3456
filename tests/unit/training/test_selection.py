from __future__ import annotations

import pytest

from ganserve.training.scores import BestMetric
from ganserve.training.selection import is_new_best
from ganserve.training.state import Best


@pytest.mark.parametrize(("metric", "better", "worse"), [("fid_domain", 1.0, 2.0), ("coverage", 0.8, 0.5)])
def test_a_better_value_is_the_new_best(metric: BestMetric, better: float, worse: float) -> None:
    assert is_new_best(Best(worse, step=1, judge="a"), None, metric)
    assert is_new_best(Best(better, step=2, judge="a"), Best(worse, step=1, judge="a"), metric)
    assert not is_new_best(Best(worse, step=2, judge="a"), Best(better, step=1, judge="a"), metric)


def test_of_equal_values_the_earlier_is_kept_unless_it_is_the_same_evaluation_again() -> None:
    best = Best(1.0, step=4, judge="a")
    assert not is_new_best(Best(1.0, step=6, judge="a"), best, "fid_domain")
    assert is_new_best(Best(1.0, step=4, judge="a"), best, "fid_domain")
    assert not is_new_best(Best(1.5, step=4, judge="a"), best, "fid_domain"), "worse, at a step that was repeated"


def test_a_score_that_is_not_a_number_is_never_better() -> None:
    nothing, something = Best(float("nan"), step=1, judge="a"), Best(1.0, step=2, judge="a")
    assert is_new_best(something, nothing, "fid_domain")
    assert not is_new_best(nothing, something, "fid_domain")


def test_another_judge_begins_anew() -> None:
    assert is_new_best(Best(9.0, step=2, judge="b"), Best(0.0, step=1, judge="a"), "fid_domain")
