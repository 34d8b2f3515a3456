"""The HTTP port of a whole server."""

from __future__ import annotations

import http.client
import io
import json
import re
from pathlib import Path

import numpy as np
from PIL import Image

from ganserve.client import Client

from ..servers import RunCommand, ServerProcess, StartServer

HTTP = ("--http", "127.0.0.1:0")


def address_of(server: ServerProcess) -> str:
    (address,) = [match[1] for line in server.log if (match := re.search(r"HTTP on http://(\S+)", line))]
    return address


def get(server: ServerProcess, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address_of(server), timeout=60)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def test_a_url_shows_what_a_client_gets(models: Path, start_server: StartServer) -> None:
    with start_server(models, *HTTP) as server, Client(server.address, model="digits") as client:
        (sample,) = client.generate(1, seed=7, first_index=3, labels=5).numpy()
        status, data = get(server, f"/v1/models/digits@{client.get_model().digest}/samples/7/3.png?class=5")
        assert status == 200
        with Image.open(io.BytesIO(data)) as picture:
            np.testing.assert_array_equal(np.asarray(picture).reshape(sample.shape), sample)
        listed = json.loads(get(server, "/v1/models")[1])
        assert listed["grpc_port"] == int(server.address.rpartition(":")[2])
        assert [model["identity"]["name"] for model in listed["models"]] == ["digits", "digits", "plain"]
        metrics = get(server, "/metrics")[1].decode()
        assert re.search(r'ganserve_calls_total\{.*Generate".*\} 1\.0', metrics)
        assert 'ganserve_model_serving{model="digits",version="1"} 1.0' in metrics
        assert re.search(r"ganserve_event_loop_lag_seconds_count [0-9]", metrics)
        assert get(server, "/")[0] == 200
        assert server.stop() == 0


def test_a_stopping_server_is_alive_and_not_ready(models: Path, start_server: StartServer) -> None:
    with start_server(models, *HTTP, "--drain-delay-s", "1000") as server:
        assert get(server, "/readyz")[0] == 200
        server.process.terminate()
        server.wait_for("stopping")
        assert get(server, "/readyz")[0] == 503
        assert get(server, "/livez")[0] == 200
        assert get(server, "/v1/models/plain/samples/7/0.png")[0] == 200
        assert server.stop() == 0


def test_there_is_no_http_unless_it_is_asked_for(server: ServerProcess) -> None:
    assert not any("HTTP" in line for line in server.log)


def test_an_http_port_in_use_and_one_that_cannot_be_are_named(
    models: Path, start_server: StartServer, run_command: RunCommand
) -> None:
    with start_server(models, *HTTP) as server:
        done = run_command("serve", "--models", models, "--listen", "127.0.0.1:0", "--http", address_of(server))
        assert done.returncode == 2
        assert f"--http {address_of(server)}: the address cannot be used" in done.stderr.splitlines()[-1]
    for address in ("8080", "127.0.0.1:99999", "unix:/tmp/http"):
        done = run_command("serve", "--models", models, "--http", address)
        assert done.returncode == 2
        assert f"--http {address}: " in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr
