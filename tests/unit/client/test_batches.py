"""Batches that are made ahead of their reader, over real gRPC, for both clients."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
import weakref
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from ganserve.client import AsyncClient, CallCancelledError, Client, InvalidRequestError, PreconditionError, Samples
from ganserve.v1.generator_pb2 import GenerateRequest, GetModelRequest

from .conftest import Connect
from .scripted import UNAVAILABLE, Script, ScriptedServer, image_values
from .test_submit import threads_alive, wait_for_calls, wait_for_no_threads


@pytest.mark.parametrize(("size", "n", "prefetch"), [(4, 10, 2), (7, 21, 0), (25, 60, 3), (100, 5, 1), (1, 6, 50)])
def test_batches_have_the_size_asked_for(
    connect: Connect, server: ScriptedServer, size: int, n: int, prefetch: int
) -> None:
    client = connect(server.address)
    batches = list(client.batches(size, n=n, prefetch=prefetch, seed=7, first_index=3, labels=[0, 1, 1, 2]))
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    whole, streamed = Samples.join(batches), client.generate(n, seed=7, first_index=3, labels=[0, 1, 1, 2])
    np.testing.assert_array_equal(whole.numpy(), streamed.numpy())
    np.testing.assert_array_equal(whole.indices, np.arange(3, 3 + n))
    assert whole.labels is not None
    assert streamed.labels is not None
    assert whole.labels.tolist() == streamed.labels.tolist()


def test_without_n_there_is_no_end(connect: Connect, server: ScriptedServer) -> None:
    batches = connect(server.address).batches(3, seed=1, first_index=2**40)
    assert [batch.first_index for batch in itertools.islice(batches, 4)] == [2**40 + 3 * i for i in range(4)]


def test_a_drawn_seed_is_one_for_all(connect: Connect, server: ScriptedServer) -> None:
    assert len({batch.seed for batch in connect(server.address).batches(3, n=12)}) == 1


def test_counts_and_indices_are_batched_too(connect: Connect, server: ScriptedServer) -> None:
    client = connect(server.address)
    counted = Samples.join(list(client.batches(4, counts={"two": 5, "one": 6}, seed=3)))
    assert counted.class_names is not None
    assert counted.class_names.tolist() == ["two"] * 5 + ["one"] * 6
    order = [29, 3, 3, 17, 0, 29, 8]
    picked = list(client.batches(3, indices=order, seed=1))
    assert [batch.indices.tolist() for batch in picked] == [[29, 3, 3], [17, 0, 29], [8]]


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"size": 0}, "size is 0"),
        ({"size": 2.5}, "size is 2.5"),
        ({"size": 4, "prefetch": -1}, "prefetch is -1"),
        ({"size": 4, "prefetch": 1000}, "at most 256"),
        ({"size": 4, "n": 0}, "n is 0"),
    ],
)
def test_what_cannot_be_is_refused_at_once(connect: Connect, arguments: dict[str, Any], fault: str) -> None:
    with pytest.raises(InvalidRequestError, match=fault):
        next(connect("127.0.0.1:1").batches(**arguments))


def test_so_many_are_asked_for_ahead_and_no_more(server: ScriptedServer, script: Script) -> None:
    script.hold, script.hold_after = threading.Event(), 0
    with Client(server.address, model="digits") as client:
        batches = client.batches(5, seed=0, prefetch=3)
        script.hold.set()
        next(batches)
        wait_for_calls(script, 4)
        wait_for_no_threads()
        assert len(script.asked(GenerateRequest)) == 4
        next(batches)
        wait_for_calls(script, 5)
        wait_for_no_threads()
        assert len(script.asked(GenerateRequest)) == 5
        batches.close()


def test_only_the_batch_of_the_reader_is_decoded(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: weakref.WeakSet[Samples] = weakref.WeakSet()
    join = Samples.join

    def counted(parts: Any) -> Samples:
        samples = join(parts)
        alive.add(samples)
        return samples

    monkeypatch.setattr(Samples, "join", staticmethod(counted))
    most = 0
    with Client(server.address, model="digits") as client:
        for _ in client.batches(5, n=50, seed=0, prefetch=2):
            wait_for_no_threads()
            gc.collect()
            most = max(most, len(alive))
    assert most == 1


def test_a_reader_that_stops_leaves_nothing_running(server: ScriptedServer, script: Script) -> None:
    script.hold, script.hold_after = threading.Event(), 1
    with Client(server.address, model="digits") as client:
        batches = client.batches(5, seed=0, prefetch=3)
        next(batches)
        wait_for_calls(script, 4)
        assert threads_alive() == 0
        del batches
        wait_for_no_threads()
        script.hold.set()
        assert len(client.generate(5)) == 5  # the client itself goes on


def test_an_async_reader_that_stops_leaves_nothing_running(server: ScriptedServer, script: Script) -> None:
    async def stop_early() -> int:
        async with AsyncClient(server.address, model="digits") as client:
            async with aclosing(client.batches(5, seed=0, prefetch=3)) as batches:
                await anext(batches)
                await asyncio.to_thread(wait_for_calls, script, 4)
            return len(asyncio.all_tasks())

    script.hold, script.hold_after = threading.Event(), 1
    assert asyncio.run(stop_early()) == 1


def test_lost_calls_lose_no_batch(connect: Connect) -> None:
    servers = [ScriptedServer(Script()) for _ in range(2)]
    servers[0].script.generate.extend([None, UNAVAILABLE] * 5)
    batches = connect([server.address for server in servers]).batches(6, n=120, seed=0, prefetch=4)
    values = image_values(next(batches).numpy())
    servers[0].stop()
    values += [value for batch in batches for value in image_values(batch.numpy())]
    assert values == list(range(120))
    servers[1].stop()


def test_several_servers_share_the_work(connect: Connect) -> None:
    servers = [ScriptedServer(Script()) for _ in range(2)]
    list(connect([server.address for server in servers]).batches(5, n=100, seed=0))
    assert [len(server.script.asked(GenerateRequest)) for server in servers] == [10, 10]
    for server in servers:
        server.stop()


def test_all_are_by_one_model(connect: Connect, server: ScriptedServer, script: Script) -> None:
    client = connect(server.address)
    client.generate(1)
    script.digest = "cd" * 32
    batches = client.batches(5, seed=0, prefetch=1)  # the model of this moment, not the one that was known
    assert next(batches).model.digest == "cd" * 32
    assert next(batches).model.digest == "cd" * 32
    script.digest = "ab" * 32
    with pytest.raises(PreconditionError):
        list(itertools.islice(batches, 5))
    assert len(script.asked(GetModelRequest)) > 1


def test_closing_the_client_ends_them(server: ScriptedServer, script: Script) -> None:
    client = Client(server.address, model="digits")
    batches = client.batches(5, seed=0, prefetch=2)
    next(batches)
    wait_for_no_threads()
    script.hold = threading.Event()
    threading.Timer(0.3, client.close).start()
    with pytest.raises((CallCancelledError, RuntimeError), match="closed"):
        list(itertools.islice(batches, 10))
    wait_for_no_threads()


def test_an_option_that_does_not_exist_is_named_by_the_method(server: ScriptedServer) -> None:
    with Client(server.address, model="digits") as client:
        for name in ("timeout", "model", "endless"):
            with pytest.raises(TypeError, match=rf"^Client.batches\(\) got an unexpected keyword argument '{name}'$"):
                client.batches(1, **{name: 2})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^AsyncClient.batches\(\) got an unexpected keyword argument 'timeout'$"):
        AsyncClient(server.address, model="digits").batches(1, timeout=2)  # type: ignore[call-arg]
