from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from ganserve.contract.errors import DeadlineError, OverloadedError, ServerError, UnavailableError
from ganserve.contract.rows import Rows
from ganserve.runtime.device import Device
from ganserve.runtime.lanes import Lanes
from ganserve.runtime.sources import GivenColumn, Source
from ganserve.serving.batcher import Batcher
from ganserve.serving.dispatcher import Dispatcher
from ganserve.serving.metrics import Metrics
from ganserve.serving.scheduler import Caller, Priority
from ganserve.serving.stopwatch import Stopwatch
from ganserve.v1.generator_pb2 import CallTimes

POISON = 666.0


class GatedEngine:
    """An engine that doubles numbers, and whose runs wait until a test lets them go."""

    def __init__(self, num_lanes: int = 1, max_batch: int = 8, row_s: float = 1.0, device: Device = "cpu") -> None:
        self.lanes = Lanes(device, num_lanes)
        self.max_batch = max_batch
        self.row_s = row_s
        self.gate = threading.Semaphore(0)
        self.batches: list[list[int]] = []
        self.threads: set[int] = set()

    def cost_s(self, num_rows: int) -> float:
        return (0.5 + num_rows) * self.row_s

    def run(self, rows: Rows) -> Rows:
        numbers = rows.columns["numbers"]
        self.batches.append(numbers.astype(int).tolist())
        self.threads.add(threading.get_ident())
        assert self.gate.acquire(timeout=10)
        if POISON in numbers:
            raise RuntimeError("poison")
        return Rows({"doubled": 2 * numbers})

    def open(self) -> None:
        """Lets every run go from now on."""
        self.gate.release(10_000)


def numbers(*values: float) -> Source:
    return Source(
        count_field="query.address.count", columns={"numbers": GivenColumn(np.array(values))}, count=len(values)
    )


async def double(
    batcher: Batcher,
    *values: float,
    client: str = "a",
    deadline_s: float | None = None,
    priority: Priority = Priority.INTERACTIVE,
) -> list[float]:
    """Has the numbers doubled, and gives what came back, halved."""
    caller = Caller(client=client, priority=priority, deadline_s=deadline_s)
    made = await batcher.run(numbers(*values), 0, len(values), caller)
    halves: list[float] = (made.columns["doubled"] / 2).tolist()
    return halves


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the condition changes on another thread
            await asyncio.sleep(0.001)


def run(story: Callable[[GatedEngine, Batcher], Awaitable[None]], **settings: Any) -> GatedEngine:
    """Plays a story with an engine of its own."""
    max_queued_rows = settings.pop("max_queued_rows", 100)
    engine = GatedEngine(**settings)

    async def play() -> None:
        dispatcher = Dispatcher(engine.lanes.num_lanes)
        await story(
            engine, Batcher(engine, dispatcher, max_queued_rows=max_queued_rows, max_wait_s=30.0, clock=lambda: 100.0)
        )

    try:
        asyncio.run(play())
    finally:
        engine.open()
        engine.lanes.close()
    return engine


def test_an_idle_engine_launches_at_once_and_a_busy_one_gathers() -> None:
    async def story(engine: GatedEngine, batcher: Batcher) -> None:
        first = asyncio.create_task(double(batcher, 1))
        await until(lambda: len(engine.batches) == 1)
        others = [asyncio.create_task(double(batcher, i)) for i in (2, 3, 4)]
        await until(lambda: batcher.num_queued_rows == 3)
        engine.open()
        assert await first == [1]
        assert [await other for other in others] == [[2], [3], [4]]

    assert run(story).batches == [[1], [2, 3, 4]]


def test_a_large_job_is_split_over_the_lanes_and_comes_back_in_order() -> None:
    async def story(engine: GatedEngine, batcher: Batcher) -> None:
        engine.open()
        assert await double(batcher, *range(20)) == list(range(20))

    engine = run(story, num_lanes=2)
    assert sorted(map(len, engine.batches)) == [4, 8, 8]


def test_short_rows_wait_for_a_short_run_though_a_lane_is_idle() -> None:
    async def story(engine: GatedEngine, batcher: Batcher) -> None:
        running = asyncio.create_task(double(batcher, *range(5)))
        await until(lambda: len(engine.batches) == 1)
        others = [asyncio.create_task(double(batcher, i)) for i in (5, 6)]
        await until(lambda: batcher.num_queued_rows == 2)
        engine.open()
        await asyncio.gather(running, *others)

    assert run(story, num_lanes=2, row_s=60e-6).batches == [[0, 1, 2, 3, 4], [5, 6]]


def test_longer_rows_take_an_idle_lane_beside_a_run() -> None:
    async def story(engine: GatedEngine, batcher: Batcher) -> None:
        running = asyncio.create_task(double(batcher, *range(5)))
        await until(lambda: len(engine.batches) == 1)
        other = asyncio.create_task(double(batcher, 5))
        await until(lambda: len(engine.batches) == 2)
        engine.open()
        await asyncio.gather(running, other)

    assert run(story, num_lanes=2, row_s=300e-6).batches == [[0, 1, 2, 3, 4], [5]]


@pytest.mark.parametrize(("row_s", "first"), [(60e-6, [*range(9)]), (400e-6, [0])], ids=["tiny", "longer"])
def test_tiny_jobs_that_come_back_together_run_together(row_s: float, first: list[int]) -> None:
    async def story(engine: GatedEngine, batcher: Batcher) -> None:
        engine.open()
        await asyncio.gather(*(double(batcher, i) for i in range(10)))
        engine.batches.clear()
        again = []
        for i in range(10):
            again.append(asyncio.create_task(double(batcher, i)))
            await asyncio.sleep(0)
        await asyncio.gather(*again)

    assert run(story, num_lanes=2, max_batch=16, row_s=row_s).batches[0] == first


def test_short_rows_are_not_divided_over_the_lanes() -> None:
    async def story(engine: GatedEngine, batcher: Batcher) -> None:
        engine.open()
        await double(batcher, *range(8))

    assert list(map(len, run(story, num_lanes=2, row_s=60e-6).batches)) == [8]


@pytest.mark.parametrize(("device", "is_on_loop"), [("cpu", True), ("cuda", False)])
def test_a_tiny_job_alone_runs_on_the_event_loop_where_the_device_allows(device: Device, is_on_loop: bool) -> None:
    async def story(engine: GatedEngine, batcher: Batcher) -> None:
        engine.open()
        assert await double(batcher, 1) == [1]
        with pytest.raises(ServerError):
            await double(batcher, POISON)
        assert await double(batcher, 2) == [2]

    engine = run(story, row_s=60e-6, device=device)
    assert (engine.threads == {threading.get_ident()}) is is_on_loop


def test_a_cancelled_job_takes_its_waiting_rows_out() -> None:
    async def story(engine: GatedEngine, batcher: Batcher) -> None:
        running = asyncio.create_task(double(batcher, 1))
        await until(lambda: len(engine.batches) == 1)
        waiting = asyncio.create_task(double(batcher, 2, 3))
        mate = asyncio.create_task(double(batcher, 4, client="b"))
        await until(lambda: batcher.num_queued_rows == 3)
        waiting.cancel()
        await until(lambda: batcher.num_queued_rows == 1)
        engine.open()
        assert await mate == [4]
        assert await running == [1]
        with pytest.raises(asyncio.CancelledError):
            await waiting

    assert run(story).batches == [[1], [4]]


def test_a_job_cancelled_while_it_runs_leaves_its_batch_mates_alone() -> None:
    async def story(engine: GatedEngine, batcher: Batcher) -> None:
        blocker = asyncio.create_task(double(batcher, 1))
        await until(lambda: len(engine.batches) == 1)
        doomed = asyncio.create_task(double(batcher, 2))
        mate = asyncio.create_task(double(batcher, 3, client="b"))
        await until(lambda: batcher.num_queued_rows == 2)
        engine.gate.release()
        await until(lambda: len(engine.batches) == 2)
        doomed.cancel()
        engine.open()
        assert await blocker == [1]
        assert await mate == [3]

    run(story)


def test_poison_fails_only_the_job_that_brought_it() -> None:
    async def story(engine: GatedEngine, batcher: Batcher) -> None:
        blocker = asyncio.create_task(double(batcher, 1))
        await until(lambda: len(engine.batches) == 1)
        good = asyncio.create_task(double(batcher, 2, 3))
        bad = asyncio.create_task(double(batcher, POISON, client="b"))
        await until(lambda: batcher.num_queued_rows == 3)
        engine.open()
        assert await good == [2, 3]
        with pytest.raises(ServerError, match="could not make these samples"):
            await bad
        await blocker

    run(story)


def test_expired_rows_are_never_computed() -> None:
    now_s = 100.0

    async def story(engine: GatedEngine) -> None:
        batcher = Batcher(engine, Dispatcher(1), max_queued_rows=100, max_wait_s=30.0, clock=lambda: now_s)
        blocker = asyncio.create_task(double(batcher, 1))
        await until(lambda: len(engine.batches) == 1)
        hurried = asyncio.create_task(double(batcher, 2, deadline_s=105.0))
        patient = asyncio.create_task(double(batcher, 3))
        await until(lambda: batcher.num_queued_rows == 2)
        nonlocal now_s
        now_s = 106.0
        engine.open()
        with pytest.raises(DeadlineError, match="passed before"):
            await hurried
        assert await patient == [3]
        assert await blocker == [1]

    engine = GatedEngine()
    asyncio.run(story(engine))
    engine.lanes.close()
    assert engine.batches == [[1], [3]]


def test_a_job_that_cannot_meet_its_deadline_is_refused_at_once() -> None:
    async def story(engine: GatedEngine, batcher: Batcher) -> None:  # noqa: ARG001
        with pytest.raises(DeadlineError, match=r"10 samples would need about 10.6 s, and there are 1 s; allow"):
            batcher.check_admission(10, Caller(client="a", deadline_s=101.0))
        batcher.check_admission(10, Caller(client="a", deadline_s=120.0))

    run(story)


@pytest.mark.parametrize("deadline_s", [130.0, None])
def test_rows_that_would_wait_for_too_long_are_refused_with_a_time_to_come_back(deadline_s: float | None) -> None:
    caller = Caller(client="a", deadline_s=deadline_s)

    async def story(engine: GatedEngine, batcher: Batcher) -> None:
        running = asyncio.create_task(double(batcher, 1))
        await until(lambda: len(engine.batches) == 1)
        waiting = asyncio.create_task(double(batcher, *range(15), client="b"))
        await until(lambda: batcher.num_queued_rows == 15)
        batcher.check_admission(6, caller)
        with pytest.raises(OverloadedError, match=r"10 samples, with 11 ahead, would need about 22.3 s, and") as caught:
            batcher.check_admission(10, Caller(client="a", deadline_s=127.0))
        assert caught.value.retry_after_s == pytest.approx(22.3125 - 0.8 * 27)
        with pytest.raises(OverloadedError, match="there are 30 s; try again"):
            batcher.check_admission(20, caller)
        engine.open()
        await asyncio.gather(running, waiting)

    run(story)


def test_a_short_deadline_is_admitted_before_a_long_queue_of_the_same_client() -> None:
    async def story(engine: GatedEngine, batcher: Batcher) -> None:
        running = asyncio.create_task(double(batcher, 1, client="a"))
        await until(lambda: len(engine.batches) == 1)
        waiting = asyncio.create_task(double(batcher, *range(15), client="a"))
        await until(lambda: batcher.num_queued_rows == 15)
        batcher.check_admission(1, Caller(client="a", deadline_s=105.0))
        engine.open()
        await asyncio.gather(running, waiting)

    run(story)


def test_parts_of_streams_come_as_they_are_asked_for_whatever_the_deadlines_of_the_streams() -> None:
    async def story(engine: GatedEngine, batcher: Batcher) -> None:
        def part(number: int, deadline_s: float) -> asyncio.Task[Rows]:
            caller = Caller(client="a", priority=Priority.BULK, deadline_s=deadline_s)
            return asyncio.create_task(batcher.run_in_turn(numbers(number), 0, 1, caller))

        parts = [part(0, 500)]
        await until(lambda: len(engine.batches) == 1)
        parts += [part(number, deadline_s) for number, deadline_s in enumerate((400, 200, 300), start=1)]
        await until(lambda: batcher.num_queued_rows == 3)
        engine.open()
        await asyncio.gather(*parts)

    assert run(story).batches == [[0], [1, 2, 3]]


def test_who_gives_no_deadline_waits_for_a_bounded_time() -> None:
    now_s = 100.0

    async def story(engine: GatedEngine) -> None:
        batcher = Batcher(engine, Dispatcher(1), max_queued_rows=100, max_wait_s=30.0, clock=lambda: now_s)
        blocker = asyncio.create_task(double(batcher, 1))
        await until(lambda: len(engine.batches) == 1)
        with batcher.admitted(1, Caller(client="b")) as admitted:
            waiting = asyncio.create_task(batcher.run(numbers(2), 0, 1, admitted))
            await until(lambda: batcher.num_queued_rows == 1)
            nonlocal now_s
            now_s = 131.0
            engine.open()
            with pytest.raises(DeadlineError):
                await waiting
        await blocker

    engine = GatedEngine()
    asyncio.run(story(engine))
    engine.lanes.close()
    assert engine.batches == [[1]]


def test_more_rows_than_there_is_room_for_are_refused_until_some_are_done() -> None:
    async def story(engine: GatedEngine, batcher: Batcher) -> None:
        with batcher.admitted(3, Caller(client="a")):
            with pytest.raises(OverloadedError, match="2 rows beside 3 that wait or run would exceed the 4") as caught:
                batcher.check_admission(2, Caller(client="b"))
            assert caught.value.retry_after_s is not None
            assert caught.value.retry_after_s > 0
            engine.open()
            assert await double(batcher, 2, 3, 4) == [2, 3, 4]
        batcher.check_admission(4, Caller(client="b"))

    run(story, max_queued_rows=4)


def test_interactive_numbers_overtake_bulk_ones() -> None:
    async def story(engine: GatedEngine, batcher: Batcher) -> None:
        running = asyncio.create_task(double(batcher, 0))
        await until(lambda: len(engine.batches) == 1)
        bulk = asyncio.create_task(double(batcher, *range(1, 11), priority=Priority.BULK))
        urgent = asyncio.create_task(double(batcher, 20, 21, client="b"))
        await until(lambda: batcher.num_queued_rows == 12)
        engine.open()
        assert await urgent == [20, 21]
        assert await bulk == list(range(1, 11))
        await running

    assert run(story).batches == [[0], [20, 21], [1, 2, 3, 4, 5, 6, 7, 8], [9, 10]]


def test_bulk_is_refused_while_there_is_still_room_for_interactive_rows() -> None:
    async def story(engine: GatedEngine, batcher: Batcher) -> None:  # noqa: ARG001
        bulk = Caller(client="a", priority=Priority.BULK)
        with batcher.admitted(4, bulk):
            with pytest.raises(OverloadedError, match="1 row beside 4 that wait or run would exceed the 4"):
                batcher.check_admission(1, bulk)
            batcher.check_admission(4, Caller(client="a"))
            batcher.check_stream(4, bulk)

    run(story, max_queued_rows=8)


def test_a_stopwatch_is_told_when_the_first_rows_run() -> None:
    stopwatch = Stopwatch(iter([99.0, 102.5, 102.75]).__next__)

    async def story(engine: GatedEngine, batcher: Batcher) -> None:
        engine.open()
        await batcher.run(numbers(1, 2, 3), 0, 3, Caller(client="a", stopwatch=stopwatch))

    run(story, max_batch=1)
    stopwatch.mark_made()
    stopwatch.mark_encoded()
    assert stopwatch.times() == CallTimes(queue_ms=1000, compute_ms=2500, encode_ms=250)


def test_a_closed_batcher_starts_nothing_and_lets_runs_settle() -> None:
    async def story(engine: GatedEngine, batcher: Batcher) -> None:
        running = asyncio.create_task(double(batcher, 1))
        await until(lambda: len(engine.batches) == 1)
        waiting = asyncio.create_task(double(batcher, 2))
        await until(lambda: batcher.num_queued_rows == 1)
        batcher.close()
        engine.open()
        assert await running == [1]
        waiting.cancel()
        with pytest.raises(UnavailableError, match="the server is stopping"):
            await double(batcher, 3)

    assert run(story).batches == [[1]]


def counted(metrics: Metrics, name: str, **labels: str) -> float:
    value = metrics.registry.get_sample_value(f"ganserve_{name}", {"model": "m", "version": "1", **labels})
    assert value is not None
    return value


def play_counted(story: Callable[[GatedEngine, Batcher, Callable[..., float]], Awaitable[None]]) -> GatedEngine:
    """Plays a story on one lane; what was counted is read by name and labels."""
    metrics = Metrics()
    engine = GatedEngine()

    async def play() -> None:
        batcher = Batcher(engine, Dispatcher(1), max_queued_rows=100, max_wait_s=30.0, metrics=metrics.of_model("m", 1))
        await story(engine, batcher, lambda name, **labels: counted(metrics, name, **labels))

    try:
        asyncio.run(play())
    finally:
        engine.open()
        engine.lanes.close()
    return engine


def test_rows_of_a_caller_who_leaves_while_a_batch_is_planned_never_run() -> None:
    """Between the cancellation of a task and its next step, its job still waits in the queue."""

    async def story(engine: GatedEngine, batcher: Batcher, value: Callable[..., float]) -> None:
        running = asyncio.create_task(double(batcher, 1))
        await until(lambda: len(engine.batches) == 1)
        leaving = asyncio.create_task(double(batcher, 2, 3))
        staying = asyncio.create_task(double(batcher, 4, client="b"))
        await until(lambda: batcher.num_queued_rows == 3)
        leaving.cancel()
        batcher.launch(1)
        engine.open()
        assert await staying == [4]
        assert await running == [1]
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert value("dropped_rows_total", reason="cancelled") == 2
        assert value("late_rows_total", reason="cancelled") == 0

    assert play_counted(story).batches == [[1], [4]]


def test_rows_are_counted_by_what_became_of_them() -> None:
    async def story(engine: GatedEngine, batcher: Batcher, value: Callable[..., float]) -> None:
        running = asyncio.create_task(double(batcher, 1))
        await until(lambda: len(engine.batches) == 1)
        hurried = asyncio.create_task(double(batcher, 2, 3, deadline_s=time.monotonic() + 1e-3))
        bad = asyncio.create_task(double(batcher, POISON, client="b"))
        doomed = asyncio.create_task(double(batcher, 4, 5, 6, client="c"))
        await until(lambda: batcher.num_queued_rows == 6)
        await asyncio.sleep(0.01)
        engine.gate.release()
        await until(lambda: len(engine.batches) == 2)
        doomed.cancel()
        engine.open()
        assert await running == [1]
        outcomes = await asyncio.gather(hurried, bad, doomed, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [DeadlineError, ServerError, asyncio.CancelledError]
        await until(lambda: batcher.num_running_rows == 0)
        assert value("dropped_rows_total", reason="expired") == 2
        assert value("dropped_rows_total", reason="cancelled") == 0
        assert value("failed_rows_total") == 1
        assert value("unclaimed_rows_total") == 3
        assert value("late_rows_total", reason="expired") == 0
        assert value("batch_rows_sum") == 5

    play_counted(story)
