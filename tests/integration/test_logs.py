"""The log of a whole server, and the ids that callers get back."""

from __future__ import annotations

import http.client
import json
import re
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from ganserve.client import Client, NotFoundError
from ganserve.v1.generator_pb2 import GenerateRequest, ModelSelector, SampleQuery
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub

from ..servers import RunCommand, ServerProcess, StartServer

HOSTILE = 'no\nERROR such "model"\x1b'


def test_every_line_is_json_and_has_the_id_that_the_caller_gets(models: Path, start_server: StartServer) -> None:
    flags = ("--log-format", "json", "--log-calls", "all", "--http", "127.0.0.1:0")
    with start_server(models, *flags) as server, grpc.insecure_channel(server.address) as channel:
        stub = GeneratorServiceStub(channel)
        request = GenerateRequest(query=SampleQuery(model=ModelSelector(name=HOSTILE)))
        with pytest.raises(grpc.RpcError) as failure:
            stub.Generate(request, metadata=(("x-request-id", "mine-1"),))
        call: Any = failure.value
        assert ("x-request-id", "mine-1") in {(item.key, item.value) for item in call.trailing_metadata()}
        with Client(server.address, model="digits") as client:
            client.generate(1, seed=1)
        with Client(server.address, model="cats") as client, pytest.raises(NotFoundError) as error:
            client.generate(1, seed=1)
        address = next(match[1] for line in server.log if (match := re.search(r"HTTP on http://([\d.:]+)", line)))
        connection = http.client.HTTPConnection(address, timeout=60)
        connection.request("GET", "/v1/models/cats", headers={"X-Request-ID": "mine-2"})
        reply = connection.getresponse()
        assert (reply.status, reply.headers["x-request-id"]) == (404, "mine-2")
        connection.close()
        assert server.stop() == 0
    lines = [json.loads(line) for line in server.log]
    assert {"time", "level", "logger", "message"} <= set.intersection(*(set(line) for line in lines))
    by_id = {line["request_id"]: line for line in lines if "request_id" in line}
    assert {"mine-1", "mine-2", error.value.request_id} <= by_id.keys()
    assert by_id["mine-1"]["code"] == "NOT_FOUND"
    (good,) = [line for line in lines if line.get("code") == "OK" and line["method"].endswith("/Generate")]
    assert (good["model"], good["version"]) == ("digits", "2")
    assert good["duration_ms"] > good["compute_ms"] > 0
    assert good["rows"] == 1


def test_a_level_leaves_out_what_is_below_it(models: Path, tmp_path: Path) -> None:
    ready = tmp_path / "address"
    server = ServerProcess(models, "--log-level", "warning", "--ready-file", str(ready))
    try:
        while not ready.exists():
            assert server.process.poll() is None
            time.sleep(0.01)
        assert server.stop() == 0
    finally:
        server.close()
    assert server.log == []


def test_a_log_of_all_calls_needs_their_level(run_command: RunCommand, models: Path) -> None:
    done = run_command("serve", "--models", models, "--log-calls", "all", "--log-level", "error")
    assert done.returncode == 2
    assert "--log-calls all writes lines of level info, which --log-level error leaves out" in done.stderr
