"""A model that fails in every run: its health and its callers are told, others go on, and it comes back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ganserve.client import Client, ServerError, UnavailableError

from ..servers import StartServer
from .conftest import Note

SPOILT_SERVER = str(Path(__file__).with_name("spoilt_server.py"))
SERVICE = "ganserve.v1.GeneratorService"
STATUS = health_pb2.HealthCheckResponse


def test_a_session_that_always_fails_shows_is_refused_and_comes_back(
    models: Path, start_server: StartServer, tmp_path: Path, note: Note
) -> None:
    gone = tmp_path / "the-device-is-gone"
    program = (sys.executable, SPOILT_SERVER, "failing", str(gone))
    with start_server(models, program=program) as server, grpc.insecure_channel(server.address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service=f"{SERVICE}/digits:2"))
        assert next(watch).status == STATUS.SERVING
        with Client(server.address, model="digits", timeout_s=60) as client:
            expected = client.generate(20, seed=1).numpy()
            gone.touch()
            failed = set()
            while "UnavailableError" not in failed:
                with pytest.raises((ServerError, UnavailableError)) as caught:
                    client.generate(20, seed=1, timeout_s=0.3)
                failed.add(type(caught.value).__name__)
            assert next(watch).status == STATUS.NOT_SERVING
            # The others have not failed, and nobody has asked them.
            assert health.Check(health_pb2.HealthCheckRequest(service=f"{SERVICE}/plain:1")).status == STATUS.SERVING
            assert health.Check(health_pb2.HealthCheckRequest()).status == STATUS.SERVING
            gone.unlink()
            again = client.generate(20, seed=1).numpy()  # asks until the model is back
            assert next(watch).status == STATUS.SERVING
        assert server.stop() == 0
    lines = [line for line in server.log if "the device is gone" in line]
    note(
        fault="a session that fails in every run, until it does not",
        load="a caller of the model, who goes on",
        expected="NOT_SERVING for the model alone, callers get UNAVAILABLE, and the same bytes once it runs again",
        seen=f"the same bytes: {bool((again == expected).all())}; {len(lines)} lines in the log, no traceback",
    )
    assert (again == expected).all()
    assert 1 <= len(lines) < 10
    assert not [line for line in server.log if "Traceback" in line]
