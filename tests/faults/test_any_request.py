"""Requests of any content, as messages and as bytes, on every method that the server has."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ganserve.v1.generator_pb2 import GenerateManyResponse

from ..servers import ServerProcess, StartServer
from .conftest import Note, Size
from .methods import any_message, methods_of, mutate
from .process import resident_mib
from .sensible_requests import sensible_requests

Call = Callable[[str, MethodDescriptor, bytes], str]

UNFORESEEN = {"INTERNAL", "UNKNOWN", "UNAVAILABLE", "DATA_LOSS", "CANCELLED", "ABORTED"}


@pytest.fixture(scope="module")
def server(
    models: Path, tmp_path_factory: pytest.TempPathFactory, start_server: StartServer
) -> Iterator[ServerProcess]:
    """A server that lets anybody manage its models, in a folder of its own."""
    folder = tmp_path_factory.mktemp("managed") / "models"
    shutil.copytree(models, folder)
    with start_server(folder, "--allow-admin", "--channelz", "--linger-s", "0") as server:
        yield server


@pytest.fixture(scope="module")
def channel(server: ServerProcess) -> Iterator[Any]:
    with grpc.insecure_channel(server.address) as channel:
        yield channel


@pytest.fixture(scope="module")
def call(channel: Any) -> Call:
    """Sends bytes to a method and gives the status; one reply of a stream is enough."""

    def send(path: str, method: MethodDescriptor, request: bytes) -> str:
        if method.client_streaming:
            replies = channel.stream_stream(path)(iter([request]), timeout=30)
        else:
            replies = channel.unary_stream(path)(request, timeout=30)
        try:
            reply = next(iter(replies), None)
        except grpc.RpcError:
            return str(replies.code().name)
        replies.cancel()
        return worst_of(reply) if reply and path.endswith("/GenerateMany") else "OK"

    return send


def worst_of(reply: bytes) -> str:
    """The status of a request that travelled with others, where one was not foreseen."""
    names = {code.value[0]: code.name for code in grpc.StatusCode}
    codes = [names[outcome.refusal.code] for outcome in GenerateManyResponse.FromString(reply).outcomes]
    return next((code for code in codes if code in UNFORESEEN), "OK")


def test_no_request_is_beyond_what_the_server_foresees(
    server: ServerProcess, channel: Any, call: Call, size: Size, note: Note
) -> None:
    # Those that unload models come last.
    methods = dict(sorted(methods_of(channel).items(), key=lambda item: "Unload" in item[0]))
    num_each = size(100, 1_000)
    codes: Counter[str] = Counter()
    sizes_mib = []
    for path, method in methods.items():
        send_any(call, path, method, num_each, codes)
        send_mutants(call, path, method, 2 * num_each, codes)
        sizes_mib.append(resident_mib(server.process.pid))
    assert {path.split("/")[1] for path in methods} >= {
        "ganserve.v1.GeneratorService",
        "ganserve.v1.ModelAdminService",
        "grpc.health.v1.Health",
    }
    note(
        fault=f"{codes.total():,} random and mutated requests",
        load=f"all {len(methods)} methods of the port, as reflection tells them",
        expected="no INTERNAL, no UNKNOWN, no crash, no growth",
        seen=f"{', '.join(f'{count:,} {status}' for status, count in codes.most_common())}; "
        f"{sizes_mib[-1] - sizes_mib[0]:+.0f} MiB",
    )
    assert sizes_mib[-1] - sizes_mib[0] < 32
    assert not [line for line in server.log if "Traceback" in line]


def send_any(call: Call, path: str, method: MethodDescriptor, num_requests: int, codes: Counter[str]) -> None:
    """Sends so many requests to a method, each second one a mutation of the one before, and counts the statuses."""

    @settings(
        max_examples=-(-num_requests // 2),
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(any_message(method.input_type), st.integers(0))
    def send(request: Message, seed: int) -> None:
        data = request.SerializeToString()
        mutant = mutate(data, random.Random(seed))  # noqa: S311 (keeps no secret)
        for sent in (data, mutant):
            status = call(path, method, sent)
            codes[status] += 1
            assert status not in UNFORESEEN, (path, sent)

    send()


def send_mutants(call: Call, path: str, method: MethodDescriptor, num_requests: int, codes: Counter[str]) -> None:
    """Sends so many mutations of requests that are sensible, where any are known."""
    rng = random.Random(path)  # noqa: S311 (keeps no secret)
    for request in sensible_requests(path):
        assert call(path, method, request) == "OK"
        for _ in range(num_requests):
            mutant = mutate(request, rng)
            status = call(path, method, mutant)
            codes[status] += 1
            assert status not in UNFORESEEN, (path, mutant)
