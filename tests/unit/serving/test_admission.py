from __future__ import annotations

import asyncio

import pytest

from ganserve.serving.admission import Budget
from ganserve.serving.scheduler import Priority


def test_what_is_taken_leaves_room_for_the_rest_until_it_is_given_back() -> None:
    budget = Budget(100)
    budget.take(60)
    assert budget.has_room(40)
    assert not budget.has_room(41)
    budget.give_back(60)
    assert budget.has_room(100)


def test_bulk_leaves_half_of_the_room_to_others() -> None:
    budget = Budget(100)
    budget.take(30)
    assert budget.has_room(20, Priority.BULK)
    assert not budget.has_room(21, Priority.BULK)
    assert budget.has_room(70, Priority.INTERACTIVE)
    budget.give_back(30)
    assert budget.has_room(1000, Priority.BULK)


def test_an_amount_beyond_the_budget_is_admitted_alone() -> None:
    budget = Budget(100)
    assert budget.has_room(1000)
    budget.take(1000)
    assert not budget.has_room(1)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Waiter:
    """A part of a stream: waits for its turn, and keeps its rows until it is let go."""

    def __init__(self, budget: Budget, num_rows: int) -> None:
        self.is_admitted = False
        self.release = asyncio.Event()
        self.task = asyncio.create_task(self._wait(budget, num_rows))

    async def _wait(self, budget: Budget, num_rows: int) -> None:
        await budget.take_in_turn(num_rows)
        with budget.holding(num_rows):
            self.is_admitted = True
            await self.release.wait()


def test_those_who_wait_get_their_turn_in_order_and_half_of_the_room() -> None:
    async def story() -> None:
        budget = Budget(10)
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
        assert budget.taken == 0

    asyncio.run(story())


def test_more_than_half_of_the_room_is_admitted_alone() -> None:
    async def story() -> None:
        budget = Budget(10)
        large = Waiter(budget, 25)
        await settle()
        assert large.is_admitted
        large.release.set()
        await settle()
        assert budget.taken == 0

    asyncio.run(story())


@pytest.mark.parametrize("cancelled", [0, 1])
def test_who_leaves_gives_the_room_or_the_place_back(cancelled: int) -> None:
    async def story() -> None:
        budget = Budget(10)
        waiters = [Waiter(budget, 4) for _ in range(3)]
        await settle()
        waiters[cancelled].task.cancel()
        await settle()
        waiters[1 - cancelled].release.set()
        await settle()
        assert waiters[2].is_admitted
        waiters[2].release.set()
        await settle()
        assert budget.taken == 0

    asyncio.run(story())


@pytest.mark.parametrize("cancelled", [(0, 1), (1, 2), (0, 2), (0, 1, 2)])
def test_several_who_leave_at_once_hold_nobody_up(cancelled: tuple[int, ...]) -> None:
    """All are cancelled before any of them runs again, so their places are still in the queue."""

    async def story() -> None:
        budget = Budget(10)
        waiters = [Waiter(budget, 4) for _ in range(4)]
        await settle()
        for place in cancelled:
            waiters[place].task.cancel()
        waiters[3].release.set()
        budget.take(1)
        budget.give_back(1)
        await settle()
        for waiter in waiters:
            waiter.release.set()
        await asyncio.gather(*(waiter.task for waiter in waiters), return_exceptions=True)
        assert [waiter.task.cancelled() for waiter in waiters] == [place in cancelled for place in range(4)]
        assert all(waiters[place].is_admitted for place in range(4) if place not in cancelled)
        assert budget.taken == 0

    asyncio.run(story())
