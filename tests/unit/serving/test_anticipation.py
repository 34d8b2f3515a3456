from __future__ import annotations

import asyncio

import pytest

from ganserve.serving.anticipation import Anticipation


class Crowd:
    """Callers, and how often they were waited for in vain."""

    def __init__(self) -> None:
        self.num_ends = 0
        self.anticipation = Anticipation(self._end)
        self._ended = asyncio.Event()

    def join(self, *sizes: int) -> bool:
        """As many jobs as each size are under way, one after another; whether more are waited for then."""
        for size in sizes:
            self.anticipation.join(size, is_worth_it=True)
        return self.anticipation.expects_more

    async def scattered(self) -> None:
        await asyncio.wait_for(self._ended.wait(), 10)
        self._ended.clear()

    def _end(self) -> None:
        self.num_ends += 1
        self._ended.set()


@pytest.fixture
def crowd() -> Crowd:
    return Crowd()


def test_nobody_waits_who_is_alone_or_one_of_two(crowd: Crowd) -> None:
    assert not crowd.join(1, 1, 1, 2, 1, 2, 1)


def test_those_who_come_back_together_are_waited_for_until_most_are_there(crowd: Crowd) -> None:
    async def story() -> None:
        assert not crowd.join(*range(1, 11))
        assert [crowd.join(size) for size in range(1, 11)] == [True] * 8 + [False] * 2

    asyncio.run(story())
    assert crowd.num_ends == 0


def test_those_who_do_not_come_are_waited_for_once_and_then_ever_less(crowd: Crowd) -> None:
    async def story() -> None:
        crowd.join(*range(1, 65))
        for _ in range(6):
            assert crowd.join(1)
            await crowd.scattered()
            assert not crowd.anticipation.expects_more
        assert not crowd.join(1)

    asyncio.run(story())


def test_a_straggler_does_not_scatter_the_crowd(crowd: Crowd) -> None:
    async def story() -> None:
        crowd.join(*range(1, 65))
        assert crowd.join(55)
        await crowd.scattered()
        assert crowd.join(55)

    asyncio.run(story())


def test_the_wait_begins_anew_with_every_job_that_comes(crowd: Crowd) -> None:
    async def story() -> None:
        crowd.join(*range(1, 65))
        for size in range(1, 30):
            assert crowd.join(size)
            await asyncio.sleep(0)
        await crowd.scattered()
        assert crowd.num_ends == 1

    asyncio.run(story())


def test_what_is_not_worth_it_does_not_wait(crowd: Crowd) -> None:
    crowd.join(*range(1, 65))
    crowd.anticipation.join(1, is_worth_it=False)
    assert not crowd.anticipation.expects_more
