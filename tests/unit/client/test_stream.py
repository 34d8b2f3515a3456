"""StreamSamples over real gRPC, for both clients."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import grpc
import pytest

from ganserve.client import (
    DeadlineError,
    InvalidRequestError,
    OverloadedError,
    PreconditionError,
    Samples,
    ServerError,
    UnavailableError,
)
from ganserve.client._calls import backoff
from ganserve.v1.generator_pb2 import StreamSamplesRequest

from .conftest import Connect
from .scripted import UNAVAILABLE, Failure, Script, ScriptedServer, image_values


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "_FIRST_PAUSE_S", 0.001)


def indices_of(batches: list[Samples]) -> list[int]:
    return [int(i) for batch in batches for i in batch.indices]


def test_samples_come_in_order_as_they_are_sent(connect: Connect, server: ScriptedServer) -> None:
    batches = list(connect(server.address).stream(10, seed=1, first_index=3))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert indices_of(batches) == list(range(3, 13))
    assert [value for batch in batches for value in image_values(batch.numpy())] == list(range(4, 14))


@pytest.mark.parametrize("batch_size", [1, 3, 4, 7, 10, 50])
@pytest.mark.parametrize("format", ["raw", "png"])
def test_batches_have_the_size_asked_for(
    connect: Connect,
    server: ScriptedServer,
    batch_size: int,
    format: Any,  # noqa: A002
) -> None:
    batches = list(connect(server.address).stream(10, batch_size=batch_size, seed=1, labels="uniform", format=format))
    assert {len(batch) for batch in batches[:-1]} <= {batch_size}
    assert indices_of(batches) == list(range(10))
    assert [value for batch in batches for value in image_values(batch.numpy())] == list(range(1, 11))
    assert all(batch.labels is not None and len(batch.labels) == len(batch) for batch in batches)


def test_without_n_there_is_no_end(connect: Connect, server: ScriptedServer, script: Script) -> None:
    stream = connect(server.address).stream(seed=1, first_index=2**40)
    assert indices_of(list(itertools.islice(stream, 20))) == list(range(2**40, 2**40 + 80))
    (request,) = script.asked(StreamSamplesRequest)
    assert request.query.address.count == 2**64 - 2**40


def test_counts_end_a_stream_and_travel_in_few_bytes(connect: Connect, server: ScriptedServer, script: Script) -> None:
    script.stream_batch = 700
    script.stream.append((2, UNAVAILABLE))
    batches = list(connect(server.address).stream(counts={"two": 1100, "zero": 1400}, seed=1))
    names = [name for batch in batches if batch.class_names is not None for name in batch.class_names]
    assert names == ["two"] * 1100 + ["zero"] * 1400
    assert all(request.ByteSize() < 200 for request in script.asked(StreamSamplesRequest))


def test_the_last_index_ends_it(connect: Connect, server: ScriptedServer) -> None:
    assert indices_of(list(connect(server.address).stream(first_index=2**64 - 6))) == list(range(2**64 - 6, 2**64))


@pytest.mark.parametrize("batch_size", [None, 3])
def test_a_lost_stream_resumes_at_the_next_index_of_the_same_model(
    connect: Connect, server: ScriptedServer, script: Script, batch_size: int | None
) -> None:
    script.stream.extend([(2, UNAVAILABLE), (0, UNAVAILABLE), (1, UNAVAILABLE)])
    batches = list(connect(server.address).stream(20, batch_size=batch_size, labels=[0, 1, 2, 2, 1, 0, 0]))
    assert indices_of(batches) == list(range(20))
    assert [label for batch in batches if batch.labels is not None for label in batch.labels] == [
        (0, 1, 2, 2, 1, 0, 0)[i % 7] for i in range(20)
    ]
    asked = [request.query for request in script.asked(StreamSamplesRequest)]
    size = batch_size or 4
    assert [query.address.first_index for query in asked] == [0, 2 * size, 2 * size, 3 * size]
    assert [query.model.digest for query in asked] == ["", script.digest, script.digest, script.digest]
    assert len({query.address.seed for query in asked}) == 1


def test_another_model_in_its_place_is_an_error(connect: Connect, server: ScriptedServer, script: Script) -> None:
    script.stream.extend([(1, UNAVAILABLE), (0, Failure(grpc.StatusCode.FAILED_PRECONDITION, "another digest"))])
    stream = connect(server.address).stream(20)
    next(stream)
    with pytest.raises(PreconditionError, match="another digest"):
        next(stream)


def test_a_lost_stream_is_asked_for_again_as_long_as_its_reader_waits(
    connect: Connect, server: ScriptedServer, script: Script
) -> None:
    script.stream.extend([(1, UNAVAILABLE)] + [(0, UNAVAILABLE)] * 2000)
    stream = connect(server.address).stream(20, timeout_s=2)
    next(stream)
    with pytest.raises(UnavailableError, match=r"asked \d+ times in [12]\.\d s"):
        next(stream)
    assert len(script.asked(StreamSamplesRequest)) > 4


def test_a_setting_bounds_how_long_it_is_asked_for(connect: Connect, server: ScriptedServer, script: Script) -> None:
    script.stream.extend([(1, UNAVAILABLE)] * 20)
    stream = connect(server.address, retry_for_s=0).stream(20)
    next(stream)
    with pytest.raises(UnavailableError):
        next(stream)
    assert len(script.asked(StreamSamplesRequest)) == 1


def test_every_reply_begins_a_new_wait(connect: Connect, server: ScriptedServer, script: Script) -> None:
    script.stream.extend([(1, UNAVAILABLE)] * 30)
    assert indices_of(list(connect(server.address).stream(100))) == list(range(100))


def test_a_stream_begins_with_the_model_that_is_known(connect: Connect, server: ScriptedServer, script: Script) -> None:
    client = connect(server.address)
    client.get_model()
    next(client.stream(20))
    assert [request.query.model.digest for request in script.asked(StreamSamplesRequest)] == [script.digest]


def test_a_stream_begins_with_the_model_that_there_is_now(
    connect: Connect, server: ScriptedServer, script: Script
) -> None:
    client = connect(server.address)
    client.get_model()
    script.digest = "cd" * 32
    (*_, last) = client.stream(20)
    assert last.model.digest == "cd" * 32
    assert [request.query.model.digest for request in script.asked(StreamSamplesRequest)] == ["ab" * 32, ""]


def test_a_reply_of_another_model_is_not_believed(connect: Connect, server: ScriptedServer, script: Script) -> None:
    script.stream.append((2, UNAVAILABLE))
    stream = connect(server.address).stream(20)
    next(stream)
    script.obeys_pins = False
    script.digest = "cd" * 32
    with pytest.raises(ServerError, match=r"cdcd.* where abab.* was asked for"):
        list(stream)


def test_overload_tells_when_to_try_again(connect: Connect, server: ScriptedServer, script: Script) -> None:
    script.stream.append((1, Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", retry_after_s=2.0)))
    stream = connect(server.address, retry_for_s=0).stream(20)
    next(stream)
    with pytest.raises(OverloadedError) as caught:
        next(stream)
    assert caught.value.retry_after_s == 2.0


def test_a_server_that_falls_silent_is_noticed(connect: Connect, server: ScriptedServer, script: Script) -> None:
    script.hold = threading.Event()
    stream = connect(server.address).stream(20, timeout_s=2)
    next(stream)
    with pytest.raises(DeadlineError, match=r"within 2 s"):
        next(stream)


def test_a_slow_reader_has_all_the_time_it_wants(connect: Connect, server: ScriptedServer) -> None:
    stream = connect(server.address).stream(40, timeout_s=2)
    read = [next(stream)]
    threading.Event().wait(2.5)
    read += stream
    assert indices_of(read) == list(range(40))


def test_a_server_that_skips_an_index_is_not_believed(connect: Connect, server: ScriptedServer, script: Script) -> None:
    script.stream_lag = 1
    with pytest.raises(ServerError, match="begins at index 1 where 0 was asked for"):
        next(connect(server.address).stream(20))


def test_arguments_are_checked_before_the_first_sample_is_asked_for(connect: Connect, deaf_address: str) -> None:
    client = connect(deaf_address)
    with pytest.raises(InvalidRequestError, match="n is 0"):
        client.stream(0)
    with pytest.raises(InvalidRequestError, match="batch_size is 0"):
        client.stream(5, batch_size=0)
