"""Starting, stopping, and what a server says of itself while it does."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from ganserve.client import Client

from ..servers import RunCommand, ServerProcess, StartServer

SERVICE = "ganserve.v1.GeneratorService"


def check_health(address: str, service: str) -> str:
    with grpc.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        reply = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))


@pytest.mark.parametrize("service", ["", SERVICE])
def test_health_says_serving(server: ServerProcess, service: str) -> None:
    assert check_health(server.address, service) == "SERVING"


def test_reflection_lists_the_services(server: ServerProcess) -> None:
    with grpc.insecure_channel(server.address) as channel:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        (reply,) = stub.ServerReflectionInfo(iter([request]), timeout=10)
    assert {service.name for service in reply.list_services_response.service} >= {SERVICE, "grpc.health.v1.Health"}


def test_a_stop_while_models_load_does_not_serve(tmp_path: Path, make_bundle: Callable[..., Path]) -> None:
    for version in range(1, 40):
        make_bundle(tmp_path, "tiny", version)
    server = ServerProcess(tmp_path)
    try:
        server.wait_for("tiny:1 on cpu")
        assert server.stop() == 0
        assert not [line for line in server.log if "serving on" in line]
    finally:
        server.close()


def test_health_leads_while_the_server_drains(models: Path, start_server: StartServer) -> None:
    with start_server(models, "--drain-delay-s", "1000") as server:
        server.process.terminate()
        server.wait_for("stopping")
        assert check_health(server.address, "") == "NOT_SERVING"
        with Client(server.address, model="digits") as client:
            assert len(client.generate(3)) == 3
        assert server.stop() == 0


def test_a_ready_file_says_where_and_while_the_server_serves(
    models: Path, start_server: StartServer, tmp_path: Path
) -> None:
    ready = tmp_path / "address"
    ready.write_text("127.0.0.1:1\n")  # of a server that was killed
    with start_server(models, "--ready-file", str(ready), "--drain-delay-s", "1000") as server:
        assert ready.read_text() == f"{server.address}\n"
        server.process.terminate()
        server.wait_for("stopping")
        assert not ready.exists()
        assert server.stop() == 0
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_come_to_serve_is_never_ready(run_command: RunCommand, tmp_path: Path) -> None:
    ready = tmp_path / "address"
    ready.write_text("127.0.0.1:1\n")  # of a server that was killed
    done = run_command("serve", "--models", tmp_path / "nowhere", "--ready-file", ready, "--listen", "127.0.0.1:0")
    assert done.returncode == 3
    assert not ready.exists()


def test_a_ready_file_never_takes_the_place_of_another(run_command: RunCommand, models: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.write_text("mine: all of it")
    done = run_command("serve", "--models", models, "--ready-file", notes, "--listen", "127.0.0.1:0")
    assert done.returncode == 2
    assert f"--ready-file {notes}: there is a file of that name, which no server wrote" in done.stderr
    assert notes.read_text() == "mine: all of it"


def test_clients_reach_a_server_by_a_unix_socket(models: Path, start_server: StartServer) -> None:
    with TemporaryDirectory(prefix="gs") as folder:
        address = f"unix:{folder}/a.sock"
        with start_server(models, "--listen", address) as server:
            assert server.address == address
            with Client(address, model="digits") as client:
                assert len(client.generate(3)) == 3
            other = ServerProcess(models, "--listen", address)
            with pytest.raises(AssertionError, match="a server is listening there"):
                other.wait_for("serving on")
            other.close()
            server.process.kill()
            server.process.wait(30)
        with start_server(models, "--listen", address) as server, Client(address, model="digits") as client:
            assert len(client.generate(3)) == 3


def test_without_models_given_those_in_the_folder_models_are_served(
    models: Path, start_server: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(models / "plain", tmp_path / "models" / "plain")
    (tmp_path / "models" / "faces.onnx").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    with start_server(None) as server:
        stray = "not served: models/faces.onnx is no bundle, which is a folder models/NAME/VERSION"
        assert any(stray in line for line in server.log)
        with Client(server.address, model="plain") as client:
            assert len(client.generate(2)) == 2


def test_a_folder_too_deep_is_told_from_an_empty_one(models: Path, run_command: RunCommand) -> None:
    done = run_command("serve", "--models", models / "digits" / "1")
    assert done.returncode == 3
    assert f"digits/1 is one version of a model; give the folder of models: --models {models}" in done.stderr


def test_a_port_in_use_is_named(server: ServerProcess, models: Path, run_command: RunCommand) -> None:
    done = run_command("serve", "--models", models, "--listen", server.address)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert re.search(rf"error: --listen {server.address}: .*the port may be taken", line)


def tear(bundle: Path) -> None:
    data = (bundle / "model.onnx").read_bytes()
    (bundle / "model.onnx").write_bytes(data[: len(data) // 2])


def alter(bundle: Path) -> None:
    data = bytearray((bundle / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / "model.onnx").write_bytes(data)


def forge(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["version"] = 9
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def lose_the_manifest(bundle: Path) -> None:
    (bundle / "manifest.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (tear, "model.onnx is torn or altered"),
        (alter, "model.onnx is torn or altered"),
        (forge, "its checksum does not fit the rest of it"),
        (lose_the_manifest, "manifest.json is missing"),
    ],
)
def test_a_spoilt_bundle_is_never_served(
    models: Path, run_command: RunCommand, tmp_path: Path, spoil: object, message: str
) -> None:
    assert callable(spoil)
    shutil.copytree(models / "plain", tmp_path / "plain")
    spoil(tmp_path / "plain" / "1")
    done = run_command("serve", "--models", tmp_path, "--listen", "127.0.0.1:0")
    assert done.returncode == 3
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (("--models", "nowhere"), 3, "nowhere is not a folder"),
        (("--models", ".", "--listen", "127.0.0.1"), 2, "--listen 127.0.0.1: give host:port"),
        (("--models", ".", "--lanes", "0"), 2, "--lanes is 0; give 1 to 1,024"),
        (("--models", ".", "--grace-s", "-1"), 2, "--grace-s is -1.0"),
        (("--models", ".", "--device", "tpu"), 2, "tpu"),
        (("--models", ".", "--listen", "127.0.0.1:70000"), 2, "ports go from 0, which takes a free one, to 65535"),
        (("--models", ".", "--max-calls", "0"), 2, "--max-calls is 0; give 1 to 1,000,000"),
        (("--models", ".", "--stall-s", "0"), 2, "--stall-s is 0.0; give more than 0 and at most 86,400"),
        (("--models", ".", "--ready-file", "."), 2, "--ready-file .: give the name of a file"),
        (("--models", ".", "--ready-file", "nowhere/ready"), 2, "in a folder that exists"),
    ],
)
def test_bad_flags_are_named(run_command: RunCommand, flags: tuple[str, ...], code: int, message: str) -> None:
    done = run_command("serve", *flags)
    assert done.returncode == code
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
