"""A server that stops loses no call: each ends with its answer, or with UNAVAILABLE, which clients send elsewhere."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ganserve.v1.generator_pb2 import (
    GenerateRequest,
    ListModelsRequest,
    ModelSelector,
    SampleAddress,
    SampleQuery,
    StreamSamplesRequest,
)
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub

from .conftest import StartServer

NUM_CALLERS = 32
NUM_REFUSALS = 8
NUM_ROUNDS = 2


def call_until_refused(channel: grpc.Channel, caller: int, started: threading.Barrier) -> Counter[str]:
    """Calls again and again, each time as soon as it is answered; counts the statuses."""
    stub: Any = GeneratorServiceStub(channel)
    health: Any = health_pb2_grpc.HealthStub(channel)
    query = SampleQuery(model=ModelSelector(name="digits"), address=SampleAddress(seed=caller, count=1 + caller % 3))
    calls = (
        lambda: stub.Generate(GenerateRequest(query=query), timeout=60),
        lambda: list(stub.StreamSamples(StreamSamplesRequest(query=query, max_batch_size=1), timeout=60)),
        lambda: stub.ListModels(ListModelsRequest(), timeout=60),
        lambda: health.Check(health_pb2.HealthCheckRequest(), timeout=60),
    )
    statuses: Counter[str] = Counter()
    while statuses["UNAVAILABLE"] < NUM_REFUSALS:
        try:
            calls[sum(statuses.values()) % len(calls)]()
        except grpc.RpcError as error:
            statuses[error.code().name] += 1
        else:
            statuses["OK"] += 1
            if statuses["OK"] == len(calls):
                started.wait(60)
    return statuses


@pytest.mark.parametrize("num_channels", [1, NUM_CALLERS])
def test_every_call_ends_with_its_answer_or_as_unavailable(
    models: Path, start_server: StartServer, num_channels: int
) -> None:
    for _ in range(NUM_ROUNDS):
        with start_server(models) as server, ExitStack() as stack:
            started = threading.Barrier(NUM_CALLERS + 1)
            options = [("grpc.use_local_subchannel_pool", 1)]
            channels = [
                stack.enter_context(grpc.insecure_channel(server.address, options)) for _ in range(num_channels)
            ]
            callers = stack.enter_context(ThreadPoolExecutor(NUM_CALLERS))
            calls = [
                callers.submit(call_until_refused, channels[caller % num_channels], caller, started)
                for caller in range(NUM_CALLERS)
            ]
            started.wait(60)
            assert server.stop() == 0
            statuses = sum((call.result() for call in calls), Counter())
            assert set(statuses) == {"OK", "UNAVAILABLE"}, statuses


def test_a_call_that_outlasts_the_grace_ends_as_unavailable(models: Path, start_server: StartServer) -> None:
    query = SampleQuery(model=ModelSelector(name="digits"), address=SampleAddress(seed=1, count=2**40))
    with start_server(models, "--grace-s", "0.1") as server, grpc.insecure_channel(server.address) as channel:
        stub: Any = GeneratorServiceStub(channel)
        replies = stub.StreamSamples(StreamSamplesRequest(query=query), timeout=60)
        next(replies)
        assert server.stop() == 0
        with pytest.raises(grpc.RpcError):
            list(replies)
        assert replies.code() is grpc.StatusCode.UNAVAILABLE
