"""Servers without room are asked again, never sooner than they say, and a hook is told."""

from __future__ import annotations

import statistics
import time
from multiprocessing.reduction import ForkingPickler
from typing import Any

import grpc
import pytest

from ganserve.client import ConfigError, OverloadedError, RetryEvent, UnavailableError
from ganserve.client._calls.backoff import draw_pause_s, refused
from ganserve.client._calls.servers import Servers
from ganserve.v1.generator_pb2 import GenerateRequest, GetModelRequest, StreamSamplesRequest

from .conftest import Connect
from .scripted import UNAVAILABLE, Failure, Script, ScriptedServer, image_values

pytestmark = pytest.mark.coalescing_too

FULL = Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", retry_after_s=0.3)


def full(retry_after_s: float) -> OverloadedError:
    return OverloadedError("full", retry_after_s=retry_after_s)


def test_the_only_server_is_asked_again_where_it_says_when(
    connect: Connect, server: ScriptedServer, script: Script
) -> None:
    script.generate.extend([FULL] * 2)
    client = connect(server.address)
    client.get_model()
    began_s = time.monotonic()
    assert image_values(client.generate(3, seed=1).numpy()) == [1, 2, 3]
    assert time.monotonic() - began_s >= 0.3 + 0.6  # twice what it said, the second time
    assert len(script.asked(GenerateRequest)) == 3


def test_a_stream_is_begun_again_too(connect: Connect, server: ScriptedServer, script: Script) -> None:
    script.stream.extend([(0, FULL), (1, FULL)])
    batches = list(connect(server.address).stream(10, seed=1))
    assert [value for batch in batches for value in image_values(batch.numpy())] == list(range(1, 11))
    assert len(script.asked(StreamSamplesRequest)) == 3


def test_what_is_asked_only_once_is_not(connect: Connect, server: ScriptedServer, script: Script) -> None:
    script.generate.append(FULL)
    with pytest.raises(OverloadedError, match="full"):
        connect(server.address, retry_for_s=0).generate(1)
    assert len(script.asked(GenerateRequest)) == 1


@pytest.mark.parametrize("retry_after_s", [60, 0.5])
def test_a_time_that_is_too_late_is_not_waited_for(
    connect: Connect, server: ScriptedServer, script: Script, retry_after_s: float
) -> None:
    script.generate.extend([Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", retry_after_s=retry_after_s)] * 9)
    client = connect(server.address)
    client.get_model()
    with pytest.raises(OverloadedError, match="full") as caught:
        client.generate(1, timeout_s=0.4)
    assert caught.value.retry_after_s == retry_after_s
    assert len(script.asked(GenerateRequest)) == 1


def test_all_that_are_full_are_asked_again(connect: Connect) -> None:
    servers = [ScriptedServer(Script()) for _ in range(2)]
    for server in servers:
        server.script.generate.append(FULL)
    assert len(connect([server.address for server in servers]).generate(1)) == 1
    assert sum(len(server.script.asked(GenerateRequest)) for server in servers) == 3
    for server in servers:
        server.stop()


def test_one_that_is_full_is_left_alone_for_as_long_as_it_says(connect: Connect, deaf_address: str) -> None:
    server = ScriptedServer(Script())
    server.script.generate.append(Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", retry_after_s=1.0))
    events: list[RetryEvent] = []
    client = connect([deaf_address, server.address], on_retry=events.append)
    client.get_model()
    began_s = time.monotonic()
    assert len(client.generate(1, seed=3)) == 1
    assert time.monotonic() - began_s >= 1.0
    # The one that is not there may be back at any time, and is asked meanwhile.
    assert sum(event.address == deaf_address for event in events) > 2
    assert len(server.script.asked(GenerateRequest)) == 2
    server.stop()


def test_a_full_one_that_has_the_model_is_waited_for(connect: Connect) -> None:
    having, other = ScriptedServer(Script()), ScriptedServer(Script(digest="cd" * 32))
    client = connect([having.address, other.address])
    assert client.get_model().digest == "ab" * 32
    having.script.generate.extend([FULL] * 2)
    assert client.generate(1).model.digest == "ab" * 32
    having.stop()
    other.stop()


def test_a_pause_is_never_shorter_than_advised_and_grows() -> None:
    pauses_s = [[draw_pause_s(full(0.5), times) for _ in range(200)] for times in range(1, 8)]
    assert all(pause_s >= 0.5 for drawn in pauses_s for pause_s in drawn)
    means_s = [statistics.mean(drawn) for drawn in pauses_s]
    assert means_s[:4] == sorted(means_s[:4])
    assert means_s[3] > 6 * means_s[0]
    assert max(max(drawn) for drawn in pauses_s) <= 12


def test_clients_that_were_refused_together_come_back_apart() -> None:
    drawn = [draw_pause_s(full(1.0), 1) for _ in range(200)]
    assert min(drawn) < 1.1
    assert max(drawn) > 1.4
    assert len({round(pause_s, 3) for pause_s in drawn}) > 100


def test_half_of_what_is_left_is_waited_but_never_less_than_advised() -> None:
    third = refused(full(1.0), refused(full(1.0), refused(full(1.0), None, 0.0), 2.0), 4.0)
    assert third.wait_s(4.0, 30.0) >= 4.0
    for left_s, latest_s in ((4.0, 2.5), (1.5, 1.25), (1.1, 1.05)):
        waits_s = [third.wait_s(4.0, left_s) for _ in range(200)]
        assert 1.0 <= min(waits_s) < max(waits_s) <= latest_s
        assert len(set(waits_s)) == 200  # so that those who were refused together do not come back together
    assert third.wait_s(4.0, 1.0) == float("inf")


def test_the_hook_is_told_before_every_pause(connect: Connect, server: ScriptedServer, script: Script) -> None:
    events: list[RetryEvent] = []
    client = connect(server.address, on_retry=events.append)
    script.generate.extend([UNAVAILABLE, FULL])
    client.generate(3, seed=7)
    first, second = events
    assert (first.address, first.attempt, first.asked) == (
        server.address,
        1,
        "3 samples of digits, seed 7, indices 0 to 2",
    )
    assert isinstance(first.error, UnavailableError)
    assert 0 < first.pause_s < 0.2
    assert second.attempt == 2
    assert second.error.retry_after_s == 0.3
    assert second.pause_s >= 0.3
    assert str(second).startswith(
        f"attempt 2 for 3 samples of digits, seed 7, indices 0 to 2 at {server.address}: full; asking again in 0."
    )
    assert ForkingPickler.loads(ForkingPickler.dumps(second)).error.retry_after_s == 0.3


@pytest.mark.parametrize(
    ("ask", "asked"),
    [
        (lambda client: client.generate(1, seed=7, first_index=3), "1 sample of digits, seed 7, index 3"),
        (
            lambda client: client.generate(indices=[5, 9, 2], seed=7),
            "3 samples of digits, seed 7, 3 indices from 5 to 2",
        ),
        (lambda client: client.generate_from([[1.0, 0, 0]] * 2, labels=0), "2 samples of digits, explicit latents"),
        (lambda client: next(client.stream(seed=7, first_index=3)), "samples of digits, seed 7, from index 3 on"),
    ],
)
def test_it_is_told_what_was_asked(
    connect: Connect, server: ScriptedServer, script: Script, ask: Any, asked: str
) -> None:
    events: list[RetryEvent] = []
    script.generate.append(UNAVAILABLE)
    script.stream.append((0, UNAVAILABLE))
    ask(connect(server.address, on_retry=events.append))
    assert [event.asked for event in events] == [asked]


def test_it_is_told_of_one_that_is_passed_over(connect: Connect, server: ScriptedServer, deaf_address: str) -> None:
    events: list[RetryEvent] = []
    assert connect([deaf_address, server.address], on_retry=events.append).get_model()
    (event,) = events
    assert (event.address, event.pause_s, event.asked) == (deaf_address, 0.0, "the model digits")
    assert str(event).endswith("asking another server")


def test_what_the_hook_raises_ends_the_call(connect: Connect, server: ScriptedServer, script: Script) -> None:
    def fail(event: RetryEvent) -> None:
        raise ValueError(f"a mistake at attempt {event.attempt}")

    script.generate.extend([UNAVAILABLE] * 2)
    client = connect(server.address, on_retry=fail)
    with pytest.raises(ValueError, match="a mistake at attempt 1"):
        client.generate(30)
    script.stream.append((0, UNAVAILABLE))
    with pytest.raises(ValueError, match="a mistake"):
        next(client.stream(30))
    script.generate.clear()
    assert len(client.generate(30)) == 30
    assert len(script.asked(GetModelRequest)) == 1


def test_a_hook_that_cannot_be_called(connect: Connect) -> None:
    async def told(event: RetryEvent) -> None: ...

    for hook in ("log", told):
        with pytest.raises(ConfigError, match="on_retry is"):
            connect("127.0.0.1:1", on_retry=hook)


def test_people_are_told_once_a_second_however_many_calls_wait() -> None:
    now_s = 10.0
    servers = Servers(["127.0.0.1:1"], clock=lambda: now_s)
    assert [servers.may_tell() for _ in range(3)] == [True, False, False]
    now_s = 11.0
    assert [servers.may_tell() for _ in range(2)] == [True, False]
