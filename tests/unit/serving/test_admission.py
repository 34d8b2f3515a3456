from __future__ import annotations

import pytest

from ganserve.contract.errors import OverloadedError
from ganserve.serving.admission import ReplyBudget


def test_promises_beyond_the_budget_are_refused_until_some_is_given_back() -> None:
    budget = ReplyBudget(100)
    budget.take(60)
    budget.take(40)
    with pytest.raises(OverloadedError, match="100 bytes are under way, and 1 more would exceed the 100") as caught:
        budget.take(1)
    assert caught.value.retry_after_s is not None
    budget.give_back(60)
    budget.take(60)


def test_one_reply_larger_than_the_budget_passes_alone() -> None:
    budget = ReplyBudget(100)
    budget.take(1000)
    with pytest.raises(OverloadedError):
        budget.take(1)
