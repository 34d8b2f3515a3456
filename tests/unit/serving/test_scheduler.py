from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganserve.runtime.sources import Source
from ganserve.serving.scheduler import BULK_EVERY, Batch, Caller, Job, Priority, RowQueue, best_batch_size

NOW_S = 0.0


def make_job(
    num_rows: int,
    client: str = "a",
    deadline_s: float | None = None,
    priority: Priority = Priority.INTERACTIVE,
) -> Job:
    caller = Caller(client=client, priority=priority, deadline_s=deadline_s)
    due_s = 1e9 if deadline_s is None else deadline_s
    return Job(
        source=Source(count_field="query.address.count", columns={}, count=num_rows),
        start=0,
        num_rows=num_rows,
        caller=caller,
        due_s=due_s,
    )


def make_bulk(num_rows: int, client: str = "a", deadline_s: float | None = None) -> Job:
    return make_job(num_rows, client, deadline_s, Priority.BULK)


def rows_by_client(batch: Batch) -> dict[str, int]:
    rows: dict[str, int] = {}
    for part in batch.slices:
        rows[part.job.caller.client] = rows.get(part.job.caller.client, 0) + part.num_rows
    return rows


@given(
    jobs=st.lists(
        st.tuples(st.integers(1, 40), st.sampled_from("abc"), st.sampled_from(Priority)), min_size=1, max_size=12
    ),
    sizes=st.lists(st.integers(1, 32), min_size=1, max_size=5),
)
def test_every_row_is_planned_once_and_in_order(jobs: list[tuple[int, str, Priority]], sizes: list[int]) -> None:
    queue = RowQueue()
    made = [make_job(num_rows, client, priority=priority) for num_rows, client, priority in jobs]
    for job in made:
        queue.add(job)
    planned: dict[Job, list[int]] = {job: [] for job in made}
    turn = 0
    while queue.num_rows:
        waiting = queue.num_rows
        batch = queue.plan(sizes[turn % len(sizes)], NOW_S)
        turn += 1
        assert 0 < batch.num_rows <= min(waiting, sizes[(turn - 1) % len(sizes)])
        assert queue.num_rows == waiting - batch.num_rows
        for part in batch.slices:
            planned[part.job] += range(part.start, part.stop)
    assert all(rows == list(range(job.num_rows)) for job, rows in planned.items())


def test_clients_share_a_batch() -> None:
    queue = RowQueue()
    queue.add(make_job(1000, "flood"))
    queue.add(make_job(1, "single"))
    queue.add(make_job(100, "other"))
    assert rows_by_client(queue.plan(32, NOW_S)) == {"flood": 20, "single": 1, "other": 11}


def test_a_single_row_never_waits_for_a_flood() -> None:
    queue = RowQueue()
    for _ in range(50):
        queue.add(make_job(1000, "flood"))
    queue.plan(32, NOW_S)
    queue.add(make_job(1, "single"))
    assert rows_by_client(queue.plan(32, NOW_S))["single"] == 1


def test_clients_take_turns_where_a_batch_is_too_small_for_all() -> None:
    queue = RowQueue()
    for client in "abc":
        queue.add(make_job(4, client))
    order = [next(iter(rows_by_client(queue.plan(1, NOW_S)))) for _ in range(6)]
    assert order == ["a", "b", "c", "a", "b", "c"]


@given(st.lists(st.one_of(st.none(), st.integers(1, 5)), max_size=20))
def test_of_a_client_the_earliest_deadline_comes_first(deadlines_s: list[int | None]) -> None:
    queue = RowQueue()
    jobs = [make_job(1, deadline_s=deadline_s) for deadline_s in deadlines_s]
    for job in jobs:
        queue.add(job)
    order = [part.job for part in queue.plan(100, NOW_S).slices]
    assert order == sorted(jobs, key=lambda job: job.due_s)


def test_what_is_due_at_the_same_time_is_served_as_it_came() -> None:
    queue = RowQueue()
    first, second = make_job(3), make_job(3)
    queue.add(first)
    queue.add(second)
    assert [(part.job, part.num_rows) for part in queue.plan(4, NOW_S).slices] == [(first, 3), (second, 1)]


@pytest.mark.parametrize("num_planned", [0, 3, 8])
def test_a_removed_job_leaves_nothing_behind(num_planned: int) -> None:
    queue = RowQueue()
    job, other = make_job(8), make_job(5, "b")
    queue.add(job)
    if num_planned:
        queue.plan(num_planned, NOW_S)
    queue.add(other)
    queue.remove(job)
    queue.remove(job)
    assert queue.num_rows == 5
    assert rows_by_client(queue.plan(32, NOW_S)) == {"b": 5}


def test_expired_jobs_are_passed_over() -> None:
    queue = RowQueue()
    late, early, endless = make_job(2, deadline_s=10.0), make_job(3, deadline_s=5.0), make_job(1)
    for job in (early, late, endless):
        queue.add(job)
    first = queue.plan(1, now_s=4.9)
    assert [part.job for part in first.slices] == [early]
    assert first.expired == ()
    second = queue.plan(8, now_s=5.0)
    assert [part.job for part in second.slices] == [late, endless]
    assert second.expired == (early,)
    assert queue.num_rows == 0


def test_a_queue_of_expired_jobs_gives_an_empty_batch() -> None:
    queue = RowQueue()
    job = make_job(3, deadline_s=5.0)
    queue.add(job)
    assert queue.plan(8, now_s=6.0) == Batch(slices=(), expired=(job,))
    assert queue.num_rows == 0


def test_rows_before_counts_own_rows_and_fair_turns_of_others() -> None:
    queue = RowQueue()
    queue.add(make_job(1000, "flood"))
    queue.add(make_job(7, "mine"))
    assert queue.rows_before(Caller(client="mine"), 3, math.inf) == 7 + 10
    assert queue.rows_before(Caller(client="new"), 2, math.inf) == 2 + 2


def test_rows_before_counts_own_rows_that_are_due_later_as_behind() -> None:
    queue = RowQueue()
    for deadline_s in (30.0, 3.0, 20.0):
        queue.add(make_job(10, "mine", deadline_s))
    counted = [queue.rows_before(Caller(client="mine"), 1, due_s) for due_s in (2.0, 3.0, 25.0, 30.0, math.inf)]
    assert counted == [0, 10, 20, 30, 30]
    queue.plan(12, NOW_S)
    assert queue.rows_before(Caller(client="mine"), 1, 25.0) == 8


@given(
    waiting=st.lists(
        st.tuples(st.integers(1, 9), st.sampled_from("ab"), st.sampled_from([1.0, 2.0, 3.0])), min_size=1, max_size=8
    ),
    num_rows=st.integers(1, 9),
    deadline_s=st.sampled_from([1.5, 2.5, 3.5]),
)
def test_no_more_rows_run_before_new_ones_than_were_counted(
    waiting: list[tuple[int, str, float]], num_rows: int, deadline_s: float
) -> None:
    """A row at a time, so that turns are as they are counted; whose turn is first may make a round of difference."""
    queue = RowQueue()
    for size, client, due_s in waiting:
        queue.add(make_job(size, client, due_s))
    counted = queue.rows_before(Caller(client="a"), num_rows, deadline_s)
    new = make_job(num_rows, "a", deadline_s)
    queue.add(new)
    num_others = 0
    while new.num_waiting:
        num_others += sum(part.num_rows for part in queue.plan(1, NOW_S).slices if part.job is not new)
    assert num_others in (counted, counted - 1)


def test_interactive_rows_run_first_and_without_more_bulk_than_its_share() -> None:
    queue = RowQueue()
    bulk, urgent = make_bulk(100), make_job(4, "b")
    queue.add(bulk)
    queue.add(urgent)
    first = queue.plan(32, NOW_S)
    assert [(part.job, part.num_rows) for part in first.slices] == [(urgent, 4), (bulk, 1)]
    assert [(part.job, part.num_rows) for part in queue.plan(32, NOW_S).slices] == [(bulk, 32)]


def test_single_interactive_rows_leave_bulk_its_share_too() -> None:
    queue = RowQueue()
    queue.add(make_bulk(100, "slow"))
    planned = []
    for _ in range(6):
        queue.add(make_job(1, "single"))
        planned.append(rows_by_client(queue.plan(32, NOW_S)))
    assert planned == [{"single": 1}, {"single": 1}, {"single": 1, "slow": 1}] * 2


def test_both_priorities_of_one_client_are_kept_apart() -> None:
    queue = RowQueue()
    bulk, urgent = make_bulk(10), make_job(4)
    for job in (bulk, urgent):
        queue.add(job)
    queue.remove(bulk)
    queue.remove(bulk)
    assert queue.num_rows == 4
    assert [part.job for part in queue.plan(8, NOW_S).slices] == [urgent]


@pytest.mark.parametrize("priority", Priority)
def test_clients_take_turns_inside_a_priority(priority: Priority) -> None:
    queue = RowQueue()
    queue.add(make_job(1000, "flood", priority=priority))
    queue.add(make_job(2, "other", priority=priority))
    assert rows_by_client(queue.plan(8, NOW_S)) == {"flood": 6, "other": 2}


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_a_flood_of_interactive_rows_leaves_bulk_its_share(sizes: list[int]) -> None:
    queue = RowQueue()
    queue.add(make_job(10_000, "flood"))
    queue.add(make_bulk(10_000, "slow"))
    num_rows = num_bulk = 0
    for size in sizes:
        by_client = rows_by_client(queue.plan(size, NOW_S))
        num_rows += size
        num_bulk += by_client.get("slow", 0)
        assert num_bulk == num_rows // BULK_EVERY


def test_bulk_that_comes_later_is_owed_nothing_for_the_time_before() -> None:
    queue = RowQueue()
    queue.add(make_job(1000, "flood"))
    queue.plan(500, NOW_S)
    queue.add(make_bulk(100, "slow"))
    assert rows_by_client(queue.plan(8, NOW_S)) == {"flood": 6, "slow": 2}


def test_what_bulk_had_while_nobody_else_waited_is_not_held_against_it() -> None:
    queue = RowQueue()
    queue.add(make_bulk(1000, "slow"))
    queue.plan(500, NOW_S)
    queue.add(make_job(100, "flood"))
    assert rows_by_client(queue.plan(8, NOW_S)) == {"flood": 6, "slow": 2}


def test_the_share_of_expired_bulk_goes_to_others() -> None:
    queue = RowQueue()
    expired, urgent = make_bulk(100, "slow", deadline_s=5.0), make_job(100, "flood")
    queue.add(expired)
    queue.add(urgent)
    batch = queue.plan(8, now_s=6.0)
    assert rows_by_client(batch) == {"flood": 8}
    assert batch.expired == (expired,)
    assert queue.num_rows == 92


def test_rows_before_counts_the_other_priority_by_its_share() -> None:
    queue = RowQueue()
    waiting = make_bulk(1000, "slow")
    queue.add(waiting)
    assert queue.rows_before(Caller(client="a"), 1, math.inf) == 0
    assert queue.rows_before(Caller(client="a"), 9, math.inf) == 3
    queue.add(make_job(100, "b"))
    assert queue.rows_before(Caller(client="a"), 9, math.inf) == 9 + 18 // 3
    new_bulk = Caller(client="slow", priority=Priority.BULK)
    assert queue.rows_before(new_bulk, 1, math.inf) == 1000 + 100
    queue.remove(waiting)
    assert queue.rows_before(new_bulk, 2, math.inf) == 6


@pytest.mark.parametrize(
    ("waiting", "idle", "expected"),
    [(1, 2, 1), (8, 2, 4), (64, 2, 32), (1000, 1, 32), (5, 1, 5), (33, 2, 17)],
)
def test_waiting_rows_are_shared_out_over_idle_lanes(waiting: int, idle: int, expected: int) -> None:
    assert best_batch_size(waiting, idle, 32, lambda rows: 0.1 + rows) == expected


def test_padded_runs_avoid_a_large_bucket_for_a_row_too_many() -> None:
    padded = {1: 1.0, 2: 1.1, 4: 1.3, 8: 1.8, 16: 2.8, 32: 5.0}

    def cost_s(rows: int) -> float:
        return next(cost for bucket, cost in padded.items() if bucket >= rows)

    assert best_batch_size(17, 1, 32, cost_s) == 16
    assert best_batch_size(30, 1, 32, cost_s) == 30
