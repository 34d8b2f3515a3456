"""Where the milliseconds of a call go."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from ganserve.client import CallProfile, InvalidRequestError, OverloadedError, Profile, UnsupportedError
from ganserve.v1.generator_pb2 import GenerateRequest

from .conftest import Connect
from .scripted import UNAVAILABLE, Failure, Script, ScriptedServer


@pytest.mark.parametrize("format", ["raw", "png", "jpeg", "webp"])
def test_every_phase_of_every_call_is_told(
    connect: Connect,
    server: ScriptedServer,
    script: Script,
    format: Any,  # noqa: A002
) -> None:
    profile = connect(server.address).profile(3, repeats=5, labels="one", format=format)
    assert len(profile.calls) == 5
    assert len(script.asked(GenerateRequest)) == 6  # the first is not counted
    assert (profile.queue_ms, profile.compute_ms, profile.encode_ms) == (1 / 64, 1 / 32, 1 / 128)
    assert profile.wire_ms > 0
    assert profile.decode_ms > 0
    for call in profile.calls:
        on_server_ms = call.queue_ms + call.compute_ms + call.encode_ms
        assert call.total_ms == pytest.approx(on_server_ms + call.wire_ms + call.decode_ms)
    title, *table = repr(profile).splitlines()
    assert title == f"3 samples of digits:2@abababababab as {format}, 5 calls, ms"
    assert [line.split()[0] for line in table] == ["median", "queue", "compute", "encode", "wire", "decode", "total"]


def test_figures_are_medians() -> None:
    calls = [
        CallProfile(queue_ms=queue_ms, compute_ms=10, encode_ms=1, wire_ms=2, decode_ms=0.5)
        for queue_ms in (1.0, 100.0, 3.0)
    ]
    profile = Profile(description="64 samples", calls=calls)
    assert (profile.queue_ms, profile.compute_ms, profile.total_ms) == (3.0, 10, 16.5)
    assert repr(profile).splitlines()[2].split() == ["queue", "3.00", "1.00", "100.00"]


def test_only_who_asks_is_told(connect: Connect, server: ScriptedServer, script: Script) -> None:
    keys: list[str] = []
    generate = script.Generate

    def watch(request: GenerateRequest, context: Any) -> Any:
        keys.extend(key for key, _ in context.invocation_metadata())
        return generate(request, context)

    script.Generate = watch  # type: ignore[method-assign]
    client = connect(server.address)
    client.generate(3)
    assert "ganserve-profile" not in keys
    client.profile(3, repeats=1)
    assert "ganserve-profile" in keys


def test_an_older_server_tells_nothing(connect: Connect, server: ScriptedServer, script: Script) -> None:
    script.times = None
    with pytest.raises(UnsupportedError, match="does not tell where its time goes"):
        connect(server.address).profile(3)


def test_one_request_is_measured(connect: Connect, server: ScriptedServer) -> None:
    with pytest.raises(
        InvalidRequestError, match="n is 11; one request is measured, and of this model it takes up to 10 samples"
    ):
        connect(server.address).profile(11)


@pytest.mark.parametrize("repeats", [0, -1, 2.5])
def test_repeats_that_cannot_be(connect: Connect, server: ScriptedServer, script: Script, repeats: Any) -> None:
    with pytest.raises(InvalidRequestError, match=f"repeats is {repeats}"):
        connect(server.address).profile(1, repeats=repeats)
    assert script.requests == []


def test_a_lost_attempt_is_repeated_and_a_refusal_is_told(
    connect: Connect, server: ScriptedServer, script: Script
) -> None:
    script.generate.append(UNAVAILABLE)
    assert len(connect(server.address).profile(1, repeats=2).calls) == 2
    script.generate.append(Failure(grpc.StatusCode.RESOURCE_EXHAUSTED))
    with pytest.raises(OverloadedError):
        connect(server.address).profile(1, repeats=2)
