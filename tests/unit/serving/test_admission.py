from __future__ import annotations

import asyncio

import pytest

from ganserve.contract.errors import OverloadedError
from ganserve.serving.admission import ReplyBudget, RowBudget


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


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Waiter:
    """A part of a stream: waits for its turn, and keeps its rows until it is let go."""

    def __init__(self, budget: RowBudget, num_rows: int) -> None:
        self.is_admitted = False
        self.release = asyncio.Event()
        self.task = asyncio.create_task(self._wait(budget, num_rows))

    async def _wait(self, budget: RowBudget, num_rows: int) -> None:
        async with budget.admitted_in_turn(num_rows):
            self.is_admitted = True
            await self.release.wait()


def test_rows_count_for_as_long_as_their_body_runs() -> None:
    budget = RowBudget(10)
    with budget.admitted(6):
        assert budget.num_rows == 6
        assert budget.has_room(4)
        assert not budget.has_room(5)
    assert budget.num_rows == 0


def test_those_who_wait_get_their_turn_in_order_and_half_of_the_room() -> None:
    async def story() -> None:
        budget = RowBudget(10)
        first, second, third = (Waiter(budget, num_rows) for num_rows in (3, 3, 1))
        await settle()
        assert [waiter.is_admitted for waiter in (first, second, third)] == [True, False, False]
        assert budget.has_room(7)
        first.release.set()
        await settle()
        assert [waiter.is_admitted for waiter in (second, third)] == [True, True]
        second.release.set()
        third.release.set()
        await settle()
        assert budget.num_rows == 0

    asyncio.run(story())


def test_more_than_half_of_the_room_is_admitted_alone() -> None:
    async def story() -> None:
        budget = RowBudget(10)
        large = Waiter(budget, 25)
        await settle()
        assert large.is_admitted
        large.release.set()
        await settle()
        assert budget.num_rows == 0

    asyncio.run(story())


@pytest.mark.parametrize("cancelled", [0, 1])
def test_who_leaves_gives_the_room_or_the_place_back(cancelled: int) -> None:
    async def story() -> None:
        budget = RowBudget(10)
        waiters = [Waiter(budget, 4) for _ in range(3)]
        await settle()
        waiters[cancelled].task.cancel()
        await settle()
        waiters[1 - cancelled].release.set()
        await settle()
        assert waiters[2].is_admitted
        waiters[2].release.set()
        await settle()
        assert budget.num_rows == 0

    asyncio.run(story())
