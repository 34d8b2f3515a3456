"""Several addresses: each has a channel, and whoever can answer does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import grpc
import pytest

from ganserve.client import Client, NotFoundError, OverloadedError, PreconditionError, UnavailableError
from ganserve.v1.generator_pb2 import GenerateRequest

from .conftest import Connect
from .scripted import UNAVAILABLE, Failure, Script, ScriptedServer, image_values

pytestmark = pytest.mark.coalescing_too

OTHER = "cd" * 32

Start = Callable[..., ScriptedServer]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts servers, which end with the test."""
    started: list[ScriptedServer] = []

    def begin(port: int = 0, **script: object) -> ScriptedServer:
        started.append(ScriptedServer(Script(**script), port))  # type: ignore[arg-type]
        return started[-1]

    yield begin
    for server in started:
        server.stop()


def test_requests_go_to_all_in_turns(connect: Connect, start: Start) -> None:
    servers = [start() for _ in range(3)]
    client = connect([f"localhost:{servers[0].port}", servers[1].address, f"ipv4:{servers[2].address}"])
    assert image_values(client.generate(90, seed=1).numpy()) == list(range(1, 91))
    assert [len(server.script.asked(GenerateRequest)) for server in servers] == [3, 3, 3]


def test_one_that_is_not_there(connect: Connect, start: Start, deaf_address: str) -> None:
    client = connect([deaf_address, start().address])
    assert [len(client.generate(30)) for _ in range(5)] == [30] * 5
    assert sum(map(len, client.stream(20))) == 20


def test_none_that_is_there(connect: Connect, deaf_address: str) -> None:
    with pytest.raises(UnavailableError, match=f"no server can answer: .*{deaf_address} is unavailable.*; localhost:1"):
        connect([deaf_address, "localhost:1"], retry_for_s=0).generate(1)


def test_calls_lost_by_one_are_answered_by_the_other(connect: Connect, start: Start) -> None:
    lossy, sound = start(), start()
    lossy.script.generate.extend([UNAVAILABLE] * 1000)
    lossy.script.stream.extend([(1, UNAVAILABLE)] * 1000)
    client = connect([lossy.address, sound.address], retry_for_s=0.5)
    assert image_values(client.generate(200, seed=0).numpy()) == list(range(200))
    assert [v for samples in client.stream(100, seed=0) for v in image_values(samples.numpy())] == list(range(100))


def test_a_server_that_stops_under_many_callers_costs_no_call(start: Start) -> None:
    stopping, staying = start(), start()
    lost: list[BaseException] = []
    many = threading.Event()

    def ask(seed: int) -> None:
        for i in range(40):
            try:
                assert image_values(client.generate(20, seed=seed).numpy()) == [seed + j for j in range(20)]
            except BaseException as error:  # noqa: BLE001 - the test tells of all
                lost.append(error)
            if i == 5:
                many.set()

    with Client([stopping.address, staying.address], model="digits", timeout_s=20) as client:
        threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        assert many.wait(20)
        stopping.stop(grace_s=0.5)
        for thread in threads:
            thread.join()
    assert lost == []


def test_the_one_that_has_the_model_is_found(connect: Connect, start: Start) -> None:
    start_name = {"name": "cats"}
    without, having = start(**start_name), start()
    client = connect([without.address, having.address])
    assert client.get_model().name == "digits"
    assert [len(client.generate(50)) for _ in range(3)] == [50] * 3
    assert sum(map(len, client.stream(20))) == 20
    refused = [request for request in without.script.asked(GenerateRequest) if request.query.model.name == "digits"]
    assert len(refused) <= 2  # that it lacks the model is remembered


def test_the_one_that_has_the_digest_is_found(connect: Connect, start: Start) -> None:
    servers = [start(digest=OTHER), start()]
    client = connect([server.address for server in servers], digest="ab" * 32)
    samples = client.generate(100, seed=0)
    assert samples.model.digest == "ab" * 32
    assert image_values(samples.numpy()) == list(range(100))
    assert {batch.model.digest for batch in client.stream(40)} == {"ab" * 32}


def test_models_are_never_mixed(connect: Connect, start: Start) -> None:
    servers = [start(digest=OTHER), start()]
    client = connect([server.address for server in servers])
    for _ in range(5):
        samples = client.generate(100, seed=0)
        assert samples.model.digest == client.get_model().digest or samples.model.digest in (OTHER, "ab" * 32)
        assert image_values(samples.numpy()) == list(range(100))
        assert len({batch.model.digest for batch in client.stream(40)}) == 1


def test_a_model_that_none_has_is_told_of_all(connect: Connect, start: Start) -> None:
    one, other = start(name="cats"), start(name="dogs")
    with pytest.raises(NotFoundError, match=f"{one.address}: no model 'digits'; {other.address}: no model 'digits'"):
        connect([one.address, other.address]).generate(1)


def test_it_is_told_where_the_one_that_may_have_it_is_not_there(
    connect: Connect, start: Start, deaf_address: str
) -> None:
    there = start(digest=OTHER)
    with pytest.raises(PreconditionError, match=f"{there.address}: another digest") as caught:
        connect([deaf_address, there.address], digest="ab" * 32, timeout_s=0.5).generate(1)
    assert f"{deaf_address} is unavailable" in str(caught.value)


def test_without_a_digest_the_model_that_is_left_answers(connect: Connect, start: Start) -> None:
    gone, left = start(), start(digest=OTHER)
    client = connect([gone.address, left.address])
    assert client.generate(1).model.digest == "ab" * 32
    gone.stop()
    assert client.generate(30).model.digest == OTHER


def test_a_begun_stream_waits_for_its_own_model(connect: Connect, start: Start) -> None:
    first, second = start(), start(digest=OTHER)
    client = connect([first.address, second.address], timeout_s=20)
    client.get_model()
    first.script.stream.append((1, UNAVAILABLE))
    first.script.stream.append((0, UNAVAILABLE))
    batches = list(client.stream(40, seed=0))
    assert {batch.model.digest for batch in batches} == {"ab" * 32}
    assert [v for batch in batches for v in image_values(batch.numpy())] == list(range(40))


def test_each_has_its_own_limit(connect: Connect, start: Start) -> None:
    servers = [start(max_samples=10), start(max_samples=3)]
    client = connect([server.address for server in servers])
    assert [len(client.generate(40, seed=1)) for _ in range(4)] == [40] * 4


def test_all_models_of_all_servers_are_listed(connect: Connect, start: Start, deaf_address: str) -> None:
    addresses = [start(name=name).address for name in ("dogs", "cats", "cats")]
    models = connect([*addresses, deaf_address], model=None).list_models()
    assert [model.name for model in models] == ["cats", "dogs"]


def test_an_overloaded_server_is_believed(connect: Connect, start: Start) -> None:
    servers = [start(), start()]
    for server in servers:
        server.script.generate.append(Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", retry_after_s=1.5))
    with pytest.raises(OverloadedError) as caught:
        connect([server.address for server in servers], retry_for_s=0).generate(1)
    assert caught.value.retry_after_s == 1.5


def test_one_without_room_is_passed_over_for_one_with_room(connect: Connect, start: Start) -> None:
    full, free = start(), start()
    full.script.generate.extend([Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", retry_after_s=1.5)] * 50)
    client = connect([full.address, free.address])
    for seed in range(6):
        assert image_values(client.generate(3, seed=seed).numpy()) == list(range(seed, seed + 3))
