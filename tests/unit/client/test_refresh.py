"""What a client knows of its model may be out of date: it asks once more, and nobody sees it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import grpc
import pytest

from ganserve.client import Client, NotFoundError, PreconditionError, RequestError, Samples, ServerError
from ganserve.v1.generator_pb2 import GenerateRequest, GetModelRequest

from .conftest import Connect
from .scripted import Failure, Script, ScriptedServer, image_values

pytestmark = pytest.mark.coalescing_too

OLD, NEW = "ab" * 32, "cd" * 32


def test_all_parts_are_for_the_model_that_is_known(connect: Connect, server: ScriptedServer, script: Script) -> None:
    connect(server.address).generate(30, seed=0)
    assert [request.query.model.digest for request in script.asked(GenerateRequest)] == [script.digest] * 3


def test_the_first_part_does_not_travel_alone(connect: Connect, server: ScriptedServer, script: Script) -> None:
    client = connect(server.address)
    client.get_model()
    script.hold = threading.Event()
    fetched: list[int] = []
    thread = threading.Thread(target=lambda: fetched.append(len(client.generate(40, seed=0))))
    thread.start()
    deadline_s = time.monotonic() + 5
    while len(script.asked(GenerateRequest)) < 4:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    script.hold.set()
    thread.join()
    assert fetched == [40]


@pytest.mark.parametrize("digest", ["", OLD])
def test_errors_that_have_another_cause_forget_nothing(
    connect: Connect, server: ScriptedServer, script: Script, digest: str
) -> None:
    client = connect(server.address, digest=digest)
    for code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL):
        script.generate.append(Failure(code))
        with pytest.raises(RequestError):
            client.generate(1)
    client.generate(1)
    assert len(script.asked(GetModelRequest)) == 1


@pytest.mark.parametrize(
    "fetch",
    [
        lambda client: client.generate(10, seed=0),
        lambda client: client.generate(indices=range(10), seed=0),
        lambda client: client.generate_from([[i, 0, 0] for i in range(10)], labels=0),
    ],
    ids=["range", "indices", "latents"],
)
def test_a_lower_limit_is_found_out(
    connect: Connect, server: ScriptedServer, script: Script, fetch: Callable[[Client], Samples]
) -> None:
    client = connect(server.address)
    client.generate(10, seed=1)
    script.max_samples = 3
    assert image_values(fetch(client).numpy()) == list(range(10))
    assert len(script.asked(GetModelRequest)) == 2


def test_another_model_in_its_place_answers_the_whole(connect: Connect, server: ScriptedServer, script: Script) -> None:
    client = connect(server.address)
    client.generate(10)
    script.digest = NEW
    samples = client.generate(30, seed=1)
    assert samples.model.digest == NEW
    assert image_values(samples.numpy()) == list(range(1, 31))
    assert client.get_model().digest == NEW


def test_what_a_name_stands_for_is_asked_again_after_a_while(
    connect: Connect, server: ScriptedServer, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where an alias was moved, and the model before serves on."""
    script.obeys_pins = False
    script.digests.extend([OLD, OLD])
    client = connect(server.address)
    pinned = client.pinned()
    client.generate(1)
    script.digest = NEW
    assert client.generate(1).model.digest == OLD
    later_s = time.monotonic() + 6
    monkeypatch.setattr("ganserve.client._calls.core.time.monotonic", lambda: later_s)
    assert client.generate(1).model.digest == NEW
    assert next(iter(client.stream(1))).model.digest == NEW
    script.digests.append(OLD)
    assert pinned.generate(1).model.digest == OLD


def test_whoever_is_pinned_is_not_told_of_another_model(
    connect: Connect, server: ScriptedServer, script: Script
) -> None:
    pinned = connect(server.address).pinned()
    assert pinned.generate(1).model.digest == OLD
    script.digest = NEW
    for ask in (lambda: pinned.generate(1), lambda: next(iter(pinned.stream(1))), pinned.get_model, pinned.pinned):
        with pytest.raises(PreconditionError):
            ask()


def test_a_model_that_changes_between_parts_answers_none_or_all(
    connect: Connect, server: ScriptedServer, script: Script
) -> None:
    script.digests.extend([OLD] * 5)
    script.generate.extend([None] * 5)
    client = connect(server.address)
    client.get_model()
    script.digest = NEW  # the last parts are refused, the first ones were answered by the model before
    samples = client.generate(95, seed=0)
    assert samples.model.digest == NEW
    assert image_values(samples.numpy()) == list(range(95))


def test_a_model_that_changes_again_and_again_is_an_error(
    connect: Connect, server: ScriptedServer, script: Script
) -> None:
    script.digests.extend(["e" * 64] * 100)
    with pytest.raises(PreconditionError, match=f"another digest; the model was asked for again.*{server.address}"):
        connect(server.address).generate(20, seed=0)
    script.digests.clear()
    assert len(connect(server.address).generate(20)) == 20


def test_a_digest_that_the_caller_named_is_not_traded(connect: Connect, server: ScriptedServer, script: Script) -> None:
    client = connect(server.address, digest=OLD)
    client.generate(1)
    script.digest = NEW
    with pytest.raises(PreconditionError):
        client.generate(1)
    assert {request.query.model.digest for request in script.asked(GenerateRequest)} == {OLD}


def test_a_model_that_is_gone(connect: Connect, server: ScriptedServer, script: Script) -> None:
    client = connect(server.address)
    client.generate(1)
    script.generate.append(Failure(grpc.StatusCode.NOT_FOUND, "no model"))
    script.name = "others"
    with pytest.raises(NotFoundError, match="no model 'digits'"):
        client.generate(1)


def test_a_reply_of_another_model_is_not_believed(connect: Connect, server: ScriptedServer, script: Script) -> None:
    script.obeys_pins = False
    script.digests.append(NEW)
    with pytest.raises(ServerError, match=r"cdcd.* where abab.* was asked for"):
        connect(server.address).generate(1)
