"""Quotas by a clock of the test's own."""

from __future__ import annotations

import asyncio

import pytest

from ganserve.contract.errors import OverloadedError
from ganserve.serving.row_quota import RowQuota


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def refusal(quota: RowQuota, num_rows: int) -> OverloadedError:
    with pytest.raises(OverloadedError) as caught, quota.spent(num_rows):
        raise AssertionError("it was not refused")
    return caught.value


def spend(quota: RowQuota, num_rows: int) -> None:
    with quota.spent(num_rows):
        pass


def test_rows_beyond_the_quota_are_refused_until_there_are_more() -> None:
    clock = Clock()
    quota = RowQuota("training", 10, 1.0, clock)
    spend(quota, 4)
    spend(quota, 6)
    error = refusal(quota, 5)
    assert error.retry_after_s == pytest.approx(0.5)
    assert str(error) == "the token 'training' has had its 10 samples a second; 5 more can be made in 0.5 s"
    clock.now_s += 0.5
    spend(quota, 5)
    assert refusal(quota, 1).retry_after_s == pytest.approx(0.1)


def test_no_more_than_one_period_is_saved_up() -> None:
    clock = Clock()
    quota = RowQuota("training", 600, 60.0, clock)
    clock.now_s += 1e6
    spend(quota, 600)
    assert refusal(quota, 10).retry_after_s == pytest.approx(1.0)


def test_a_request_for_more_than_a_period_is_late_and_not_impossible() -> None:
    clock = Clock()
    quota = RowQuota("training", 10, 1.0, clock)
    spend(quota, 35)
    assert refusal(quota, 1).retry_after_s == pytest.approx(2.6)
    assert refusal(quota, 35).retry_after_s == pytest.approx(3.5)
    clock.now_s += 3.5
    spend(quota, 35)


def test_what_came_to_nothing_does_not_count() -> None:
    quota = RowQuota("training", 10, 1.0, Clock())
    for _ in range(3):
        with pytest.raises(ValueError, match="failed"), quota.spent(10):
            raise ValueError("failed")
    spend(quota, 10)


def test_parts_of_streams_come_in_their_order_when_there_is_room() -> None:
    async def run() -> list[int]:
        quota = RowQuota("training", 50, 1 / 20)
        spend(quota, 50)
        order: list[int] = []

        async def take(part: int) -> None:
            await quota.spend_in_turn(50)
            order.append(part)

        await asyncio.gather(*map(take, range(5)))
        return order

    assert asyncio.run(run()) == [0, 1, 2, 3, 4]


def test_a_part_that_nobody_waits_for_any_more_takes_nothing() -> None:
    async def run() -> None:
        clock = Clock()
        quota = RowQuota("training", 1, 60.0, clock)
        spend(quota, 1)
        waiting = asyncio.create_task(quota.spend_in_turn(1))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        clock.now_s += 60
        spend(quota, 1)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("num_rows", "period_s", "part"), [(500, 1.0, 64), (10, 1.0, 10), (600, 60.0, 10), (6, 60.0, 1)]
)
def test_parts_of_a_stream_come_about_once_a_second(num_rows: int, period_s: float, part: int) -> None:
    assert RowQuota("training", num_rows, period_s).part_size(64) == part
