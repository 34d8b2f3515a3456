from __future__ import annotations

import pytest

from ganserve.serving.dispatcher import Dispatcher


class Queue:
    """A model whose batches all take the same time."""

    def __init__(
        self, name: str, cost_s: float, num_batches: int, log: list[Queue], took_s: float | None = None
    ) -> None:
        self.name, self.cost_s, self.num_queued_rows, self.log = name, cost_s, num_batches, log
        self.took_s = cost_s if took_s is None else took_s
        self.lanes: list[int] = []

    @property
    def wants_lane(self) -> bool:
        return self.num_queued_rows > 0

    @property
    def queued_s(self) -> float:
        return self.num_queued_rows * self.cost_s

    def launch(self, num_lanes: int) -> float:
        self.lanes.append(num_lanes)
        self.num_queued_rows -= 1
        self.log.append(self)
        return self.cost_s


def launch_all(dispatcher: Dispatcher, log: list[Queue], count: int) -> list[str]:
    """The models in the order in which they launch, on one lane."""
    dispatcher.launch()
    while len(log) < count:
        dispatcher.release(log[-1], log[-1].cost_s, log[-1].took_s)
    return [queue.name for queue in log]


def test_models_take_turns() -> None:
    log: list[Queue] = []
    dispatcher = Dispatcher(1)
    for name in "ab":
        dispatcher.add(Queue(name, 1.0, 3, log))
    assert launch_all(dispatcher, log, 6) == ["a", "b", "a", "b", "a", "b"]


def test_turns_are_counted_in_time_and_not_in_batches() -> None:
    log: list[Queue] = []
    dispatcher = Dispatcher(1)
    dispatcher.add(Queue("large", 4.0, 100, log))
    dispatcher.add(Queue("small", 1.0, 100, log))
    launched = launch_all(dispatcher, log, 50)
    assert launched.count("small") == pytest.approx(4 * launched.count("large"), abs=4)


def test_a_turn_counts_as_it_took_and_not_as_it_was_expected_to() -> None:
    log: list[Queue] = []
    dispatcher = Dispatcher(1)
    dispatcher.add(Queue("slower", 1.0, 100, log, took_s=3.0))
    dispatcher.add(Queue("as expected", 1.0, 100, log))
    launched = launch_all(dispatcher, log, 50)
    assert launched.count("as expected") == pytest.approx(3 * launched.count("slower"), abs=4)


def test_a_model_that_was_idle_is_not_paid_for_its_pause() -> None:
    log: list[Queue] = []
    dispatcher = Dispatcher(1)
    idle = Queue("idle", 1.0, 0, log)
    dispatcher.add(idle)
    dispatcher.add(Queue("busy", 1.0, 100, log))
    launch_all(dispatcher, log, 20)
    idle.num_queued_rows = 10
    launched = launch_all(dispatcher, log, 30)[20:]
    assert launched[0] == "idle"
    assert launched.count("busy") >= 4


def test_idle_lanes_are_divided_over_the_models_that_wait() -> None:
    log: list[Queue] = []
    dispatcher = Dispatcher(4)
    first, second = Queue("a", 1.0, 1, log), Queue("b", 1.0, 1, log)
    for queue in (first, second, Queue("idle", 1.0, 0, log)):
        dispatcher.add(queue)
    dispatcher.launch()
    assert (first.lanes, second.lanes) == ([2], [3])


def test_what_a_model_waits_for_counts_the_turns_of_others() -> None:
    log: list[Queue] = []
    dispatcher = Dispatcher(2)
    own, other = Queue("own", 1.0, 0, log), Queue("other", 1.0, 50, log)
    dispatcher.add(own)
    dispatcher.add(other)
    assert dispatcher.expected_s(own, 6.0) == (6.0 + 6.0) / 2
    assert dispatcher.expected_s(own, 80.0) == (80.0 + 50.0) / 2


def test_a_model_that_left_launches_nothing() -> None:
    log: list[Queue] = []
    dispatcher = Dispatcher(1)
    queue = Queue("a", 1.0, 5, log)
    dispatcher.add(queue)
    dispatcher.remove(queue)
    dispatcher.remove(queue)
    dispatcher.launch()
    assert log == []
