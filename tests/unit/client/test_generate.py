"""Generate over real gRPC, for both clients."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

import grpc
import numpy as np
import pytest

from ganserve.client import (
    ConfigError,
    DeadlineError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    ServerError,
    UnavailableError,
    UnsupportedError,
)
from ganserve.v1.generator_pb2 import GenerateRequest, GetModelRequest, Priority, StreamSamplesRequest
from ganserve.v1.model_pb2 import ModelState

from .conftest import Connect
from .scripted import CHANNELS, HEIGHT, LATENT_DIM, UNAVAILABLE, WIDTH, Failure, Script, ScriptedServer, image_values

pytestmark = pytest.mark.coalescing_too


def test_samples_come_with_their_address(connect: Connect, server: ScriptedServer) -> None:
    samples = connect(server.address).generate(4, seed=7, first_index=5, labels="balanced", truncation=1.5)
    assert samples.numpy().shape == (4, HEIGHT, WIDTH, CHANNELS)
    assert image_values(samples.numpy()) == [12, 13, 14, 15]
    assert samples.seed == 7
    assert samples.indices.tolist() == [5, 6, 7, 8]
    assert samples.labels is not None
    assert samples.labels.dtype == np.int64
    assert samples.class_names is not None
    assert samples.class_names.tolist() == [Script().class_names[label] for label in samples.labels]
    assert (samples.model.name, samples.model.version) == ("digits", 2)


def test_a_spread_is_asked_for_and_told(connect: Connect, server: ScriptedServer, script: Script) -> None:
    client = connect(server.address)
    client.generate(25, seed=7, spread=1.25)
    assert {request.query.address.spread for request in script.asked(GenerateRequest)} == {1.25}
    assert sum(map(len, client.stream(9, seed=7, spread=1.25))) == 9
    client.generate(1, seed=7)
    assert not script.asked(GenerateRequest)[-1].query.address.HasField("spread")


def test_a_server_that_overlooks_an_alias_is_not_believed(connect: Connect, server: ScriptedServer) -> None:
    with pytest.raises(UnsupportedError, match="the server knows nothing of aliases such as 'stable'") as caught:
        connect(server.address, model="digits:stable").generate(2)
    assert caught.value.field == "query.model.alias"


def test_a_server_that_overlooks_the_spread_is_not_believed(
    connect: Connect, server: ScriptedServer, script: Script
) -> None:
    script.knows_spread = False
    client = connect(server.address)
    with pytest.raises(UnsupportedError, match="knows nothing of spread") as caught:
        client.generate(2, seed=7, spread=1.25)
    assert caught.value.field == "query.address.spread"
    with pytest.raises(UnsupportedError, match="knows nothing of spread"):
        next(client.stream(2, seed=7, spread=1.25))


@pytest.mark.parametrize(
    ("priority", "sent"),
    [({}, "UNSPECIFIED"), ({"priority": "interactive"}, "INTERACTIVE"), ({"priority": "bulk"}, "BULK")],
)
def test_every_request_says_how_urgent_it_is(
    connect: Connect, server: ScriptedServer, script: Script, priority: Any, sent: str
) -> None:
    client = connect(server.address, **priority)
    client.generate(25, seed=7)
    list(client.stream(9, seed=7))
    asked = script.asked(GenerateRequest) + script.asked(StreamSamplesRequest)
    assert {request.priority for request in asked} == {Priority.Value(f"PRIORITY_{sent}")}


@pytest.mark.parametrize("priority", ["urgent", "bulk ", ""])
def test_a_priority_that_does_not_exist(connect: Connect, priority: Any) -> None:
    with pytest.raises(ConfigError, match=r"priority is .*; use interactive or bulk"):
        connect("127.0.0.1:1", priority=priority)


def test_a_large_request_is_sent_in_parts_and_joined_in_order(
    connect: Connect, server: ScriptedServer, script: Script
) -> None:
    labels = np.arange(95) % 3
    samples = connect(server.address).generate(95, seed=0, labels=labels)
    assert image_values(samples.numpy()) == list(range(95))
    assert samples.labels is not None
    assert samples.labels.tolist() == labels.tolist()
    sizes = [request.query.address.count for request in script.asked(GenerateRequest)]
    assert sorted(sizes) == [5] + [10] * 9


def test_counts_are_exact(connect: Connect, server: ScriptedServer) -> None:
    samples = connect(server.address).generate(counts={"two": 11, 0: 4, "one": 20}, seed=3)
    assert samples.class_names is not None
    assert samples.class_names.tolist() == ["two"] * 11 + ["zero"] * 4 + ["one"] * 20
    assert image_values(samples.numpy()) == list(range(3, 38))


def test_a_part_of_counted_samples_is_the_same_samples(connect: Connect, server: ScriptedServer) -> None:
    client = connect(server.address)
    counts = {"two": 11, "one": 20}
    whole = client.generate(counts=counts, seed=3)
    part = client.generate(indices=range(9, 16), counts=counts, seed=3)
    assert whole.labels is not None
    assert part.labels is not None
    assert part.labels.tolist() == whole.labels[9:16].tolist()
    np.testing.assert_array_equal(part.numpy(), whole.numpy()[9:16])


def test_scattered_indices_are_the_samples_of_the_range(
    connect: Connect, server: ScriptedServer, script: Script
) -> None:
    client = connect(server.address)
    order = [29, 3, 3, 17, 0, 29, 8]
    for labels in (None, "uniform", [0, 1, 2, 2, 1], {"one": 1.0, "two": 2.0}):
        whole = client.generate(30, seed=7, labels=labels)
        picked = client.generate(indices=order, seed=7, labels=labels)
        assert picked.indices.tolist() == order
        assert whole.labels is not None
        assert picked.labels is not None
        assert picked.labels.tolist() == whole.labels[order].tolist()
        np.testing.assert_array_equal(picked.numpy(), whole.numpy()[order])
    assert list(script.asked(GenerateRequest)[-1].query.address.indices) == order


def test_a_shuffled_batch_is_one_request(connect: Connect, server: ScriptedServer, script: Script) -> None:
    script.max_samples = 100
    order = np.random.default_rng(0).integers(0, 2**40, 64)
    connect(server.address).generate(indices=order, seed=7)
    (request,) = script.asked(GenerateRequest)
    assert list(request.query.address.indices) == order.tolist()


def test_many_indices_are_sent_in_parts(connect: Connect, server: ScriptedServer) -> None:
    order = [(i * 37) % 101 for i in range(95)]
    samples = connect(server.address).generate(indices=order, seed=0)
    assert samples.indices.tolist() == order
    assert image_values(samples.numpy()) == order


def test_latents_are_sent_in_parts_too(connect: Connect, server: ScriptedServer) -> None:
    rows = np.repeat(np.arange(25, dtype=np.float64)[:, None], LATENT_DIM, axis=1)
    samples = connect(server.address).generate_from(rows, labels=[0, 1, 2, 1])
    assert image_values(samples.numpy()) == list(range(25))
    assert samples.labels is not None
    assert samples.labels.tolist() == [(0, 1, 2, 1)[i % 4] for i in range(25)]
    assert samples.seed is None
    assert samples.indices.tolist() == list(range(25))


@pytest.mark.parametrize("format", ["png", "webp"])
def test_files_decode_to_the_same_pixels(connect: Connect, server: ScriptedServer, format: Any) -> None:  # noqa: A002
    client = connect(server.address)
    samples = client.generate(12, seed=3, format=format)
    assert len(samples.files) == 12
    np.testing.assert_array_equal(samples.numpy(), client.generate(12, seed=3).numpy())


def test_the_model_is_asked_for_once(connect: Connect, server: ScriptedServer, script: Script) -> None:
    client = connect(server.address)
    for _ in range(3):
        client.generate(2, seed=1)
    assert len(script.asked(GetModelRequest)) == 1


def test_lost_attempts_are_repeated_for_the_same_samples(
    connect: Connect, server: ScriptedServer, script: Script
) -> None:
    script.generate.extend([UNAVAILABLE] * 3)
    samples = connect(server.address).generate(2)
    seeds = {request.query.address.seed for request in script.asked(GenerateRequest)}
    assert len(script.asked(GenerateRequest)) == 4
    assert seeds == {samples.seed}


def test_large_latents_are_repeated_too(connect: Connect, server: ScriptedServer, script: Script) -> None:
    script.max_samples = 250_000
    script.generate.append(UNAVAILABLE)
    rows = np.zeros((200_000, LATENT_DIM), np.float32)
    assert len(connect(server.address).generate_from(rows, labels=0)) == 200_000


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_what_another_try_cannot_mend_is_not_repeated(
    connect: Connect, server: ScriptedServer, script: Script, code: grpc.StatusCode
) -> None:
    script.generate.append(Failure(code))
    with pytest.raises((ServerError, OverloadedError)):
        connect(server.address).generate(1)
    assert len(script.asked(GenerateRequest)) == 1


def test_one_deadline_bounds_all_attempts(connect: Connect, server: ScriptedServer, script: Script) -> None:
    client = connect(server.address)
    client.get_model()
    script.hold = threading.Event()
    began_s = time.monotonic()
    with pytest.raises(DeadlineError, match=r"within 0\.3 s"):
        client.generate(50, seed=1, timeout_s=0.3)
    assert time.monotonic() - began_s < 2


def test_overload_tells_when_to_try_again(connect: Connect, server: ScriptedServer, script: Script) -> None:
    script.generate.append(Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "queue is full", retry_after_s=0.25))
    with pytest.raises(OverloadedError, match="queue is full") as caught:
        connect(server.address, retry_for_s=0).generate(1)
    assert caught.value.retry_after_s == 0.25


def test_invalid_requests_name_the_field(connect: Connect, server: ScriptedServer, script: Script) -> None:
    script.generate.append(Failure(grpc.StatusCode.INVALID_ARGUMENT, "no class 9", field="query.labels.one"))
    with pytest.raises(InvalidRequestError, match="no class 9") as caught:
        connect(server.address).generate(1)
    assert caught.value.field == "query.labels.one"


def test_a_server_that_is_not_there(connect: Connect, deaf_address: str) -> None:
    with pytest.raises(UnavailableError, match=f"{deaf_address} is unavailable; is `ganserve serve` running there"):
        connect(deaf_address, timeout_s=0.3).generate(1)


def test_the_caller_is_refused_before_anything_is_sent(
    connect: Connect, server: ScriptedServer, script: Script
) -> None:
    client = connect(server.address)
    with pytest.raises(InvalidRequestError, match="n is 0"):
        client.generate(0)
    with pytest.raises(InvalidRequestError, match="row 0"):
        client.generate_from(np.full((1, 3), np.nan))
    with pytest.raises(ConfigError, match=r"timeout_s .*= -1"):
        client.generate(1, timeout_s=-1)
    assert script.requests == []


@pytest.mark.parametrize("format", ["raw", "png"])
def test_what_no_memory_can_hold_is_refused_before_it_is_asked_for(
    connect: Connect,
    server: ScriptedServer,
    script: Script,
    format: Any,  # noqa: A002
) -> None:
    with pytest.raises(InvalidRequestError, match=r"stream\(\) gives them a few at a time"):
        connect(server.address).generate(10**15, format=format)
    assert [type(request) for request in script.requests] == [GetModelRequest]


@pytest.mark.parametrize("timeout_s", [0, -1, math.nan, "3", True])
def test_timeouts_that_cannot_be(connect: Connect, timeout_s: Any) -> None:
    with pytest.raises(ConfigError, match="timeout_s"):
        connect("127.0.0.1:1", timeout_s=timeout_s)


def test_a_timeout_may_be_infinite(connect: Connect, server: ScriptedServer) -> None:
    client = connect(server.address, timeout_s=math.inf)
    assert len(client.generate(1)) == 1
    assert sum(map(len, client.stream(5))) == 5


def test_the_model_is_told_as_it_is_served(connect: Connect, server: ScriptedServer) -> None:
    client = connect(server.address)
    assert client.get_model().state == ModelState.MODEL_STATE_SERVING
    assert [model.identity.name for model in client.list_models()] == ["digits"]


def test_without_a_model_only_the_list_answers(connect: Connect, server: ScriptedServer) -> None:
    client = connect(server.address, model=None)
    assert len(client.list_models()) == 1
    with pytest.raises(InvalidRequestError, match="no model is named"):
        client.get_model()
    with pytest.raises(InvalidRequestError, match="no model is named"):
        client.generate(1)


def test_an_unknown_model(connect: Connect, server: ScriptedServer) -> None:
    with pytest.raises(NotFoundError, match="no model 'cats'"):
        connect(server.address, model="cats").generate(1)


def test_a_closed_client_says_so(connect: Connect, server: ScriptedServer) -> None:
    client = connect(server.address)
    client.generate(1)
    client.close()
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.generate(1)


@pytest.mark.parametrize("n", [2, 5])
def test_another_number_than_is_counted_is_refused(connect: Connect, server: ScriptedServer, n: int) -> None:
    client = connect(server.address)
    counts = {"two": 2, "one": 1}
    with pytest.raises(InvalidRequestError, match=f"n is {n}, and the counts add up to 3; leave n out. A part of what"):
        client.generate(n, counts=counts, seed=3)
    with pytest.raises(InvalidRequestError, match=f"n is {n}, and the counts add up to 3"):
        client.stream(n, counts=counts, seed=3)
    with pytest.raises(InvalidRequestError, match=f"n is {n}, and the counts add up to 3"):
        next(client.batches(1, n=n, counts=counts, seed=3))
    assert client.generate(3, counts=counts, seed=3).labels is not None
