"""A second server is asked where the first is slow, over real gRPC, for both clients."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from ganserve.client import Client, ConfigError, DeadlineError, InvalidRequestError, RetryEvent, UnavailableError
from ganserve.v1.generator_pb2 import GenerateRequest, GenerateResponse

from .conftest import Connect
from .scripted import UNAVAILABLE, Failure, Script, ScriptedServer, image_values

pytestmark = pytest.mark.coalescing_too

Start = Callable[..., ScriptedServer]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts servers, which end with the test."""
    started: list[ScriptedServer] = []

    def begin(**script: object) -> ScriptedServer:
        started.append(ScriptedServer(Script(**script)))  # type: ignore[arg-type]
        return started[-1]

    yield begin
    for server in started:
        server.stop()


def num_asked(server: ScriptedServer) -> int:
    return len(server.script.asked(GenerateRequest))


def test_the_second_answers_where_the_first_is_slow(connect: Connect, start: Start) -> None:
    slow, fast = start(hold=threading.Event()), start()
    client = connect([slow.address, fast.address], hedge_after_s=0.1)
    client.get_model()
    for seed in range(4):
        assert image_values(client.generate(3, seed=seed).numpy()) == list(range(seed, seed + 3))
    assert num_asked(fast) == 4
    assert 0 < num_asked(slow) < 4


def test_the_other_call_is_cancelled(connect: Connect, start: Start) -> None:
    cancelled, release = threading.Event(), threading.Event()

    class Hanging(Script):
        def Generate(self, request: GenerateRequest, context: Any) -> GenerateResponse:  # noqa: N802
            context.add_callback(cancelled.set)
            release.wait(20)
            return super().Generate(request, context)

    slow, fast = ScriptedServer(Hanging()), start()
    client = connect([slow.address, fast.address], hedge_after_s=0.05)
    client.get_model()
    assert [len(client.generate(1)) for _ in range(2)] == [1, 1]
    assert cancelled.wait(10)
    release.set()
    slow.stop()


def test_each_part_is_hedged_once(connect: Connect, start: Start) -> None:
    slow, fast = start(hold=threading.Event()), start()
    client = connect([slow.address, fast.address], hedge_after_s=0.05)
    client.get_model()
    assert image_values(client.generate(80, seed=0).numpy()) == list(range(80))
    assert num_asked(fast) == 8
    assert num_asked(slow) == 4  # the parts whose turn it was


def test_at_most_one_extra_question(connect: Connect, start: Start) -> None:
    servers = [start(hold=threading.Event()) for _ in range(3)]
    client = connect([server.address for server in servers], hedge_after_s=0.05, timeout_s=10)
    client.get_model()
    with pytest.raises(DeadlineError):
        client.generate(1, timeout_s=0.6)
    assert sum(num_asked(server) for server in servers) == 2


def test_a_fast_first_is_not_hedged(connect: Connect, start: Start) -> None:
    servers = [start(), start()]
    client = connect([server.address for server in servers], hedge_after_s=5)
    assert len(client.generate(80, seed=0)) == 80
    assert sum(num_asked(server) for server in servers) == 8


@pytest.mark.parametrize("failing", ["first", "second"])
def test_one_that_fails_leaves_the_other_to_answer(connect: Connect, start: Start, failing: str) -> None:
    one, other = start(hold=threading.Event()), start(hold=threading.Event())
    (one if failing == "first" else other).script.generate.extend([UNAVAILABLE] * 50)
    events: list[RetryEvent] = []
    client = connect([one.address, other.address], hedge_after_s=0.1, on_retry=events.append)
    client.get_model()
    threading.Timer(0.4, one.script.hold.set).start()  # type: ignore[union-attr]
    threading.Timer(0.8, other.script.hold.set).start()  # type: ignore[union-attr]
    assert image_values(client.generate(3, seed=1).numpy()) == [1, 2, 3]
    for event in events:
        assert event.pause_s == 0.0
        assert isinstance(event.error, UnavailableError)


def test_both_may_fail_and_are_asked_again(connect: Connect, start: Start) -> None:
    one, other = start(hold=threading.Event()), start(hold=threading.Event())
    for server in (one, other):
        server.script.generate.extend([UNAVAILABLE] * 2)
    client = connect([one.address, other.address], hedge_after_s=0.05)
    client.get_model()
    threading.Timer(0.3, lambda: [server.script.hold.set() for server in (one, other)]).start()  # type: ignore[union-attr]
    assert image_values(client.generate(3, seed=1).numpy()) == [1, 2, 3]


def test_an_answer_that_is_an_error_is_the_answer(connect: Connect, start: Start) -> None:
    one, other = start(hold=threading.Event()), start(hold=threading.Event())
    for server in (one, other):
        server.script.generate.append(Failure(grpc.StatusCode.INVALID_ARGUMENT, "no class 9"))
    client = connect([one.address, other.address], hedge_after_s=0.05)
    client.get_model()
    threading.Timer(0.3, other.script.hold.set).start()  # type: ignore[union-attr]
    with pytest.raises(InvalidRequestError, match="no class 9"):
        client.generate(3)


def test_one_that_lacks_the_model_is_no_second(connect: Connect, start: Start) -> None:
    having, lacking = start(), start(name="cats")
    client = connect([lacking.address, having.address], hedge_after_s=0.01)
    client.generate(1)
    before = num_asked(lacking)
    having.script.hold = threading.Event()
    threading.Timer(0.3, having.script.hold.set).start()
    assert len(client.generate(1)) == 1
    assert num_asked(lacking) == before


def test_closing_ends_both(start: Start) -> None:
    servers = [start(hold=threading.Event()) for _ in range(2)]
    client = Client([server.address for server in servers], model="digits", hedge_after_s=0.05)
    client.get_model()
    threading.Timer(0.4, client.close).start()
    with pytest.raises(Exception, match="closed during the call"):
        client.generate(30)


@pytest.mark.parametrize(
    ("target", "hedge_after_s"), [("h:1", 0.2), (["h:1", "h:1"], 0.2), (["h:1", "h:2"], -1), (["h:1", "h:2"], "1")]
)
def test_hedges_that_cannot_be(connect: Connect, target: object, hedge_after_s: float) -> None:
    with pytest.raises(ConfigError, match="hedge_after_s"):
        connect(target, hedge_after_s=hedge_after_s)
