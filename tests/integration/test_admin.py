"""An operator manages the models of servers that run, by the command, by KServe's protocol, and by the folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from PIL import Image

from ganserve.client import Client, NotFoundError, PreconditionError
from ganserve.serving.open_inference import inference_pb2
from ganserve.v1.model_pb2 import ImageShape, ModelCard

from ..servers import RunCommand, ServerProcess, StartServer

MakeBundle = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, make_bundle: MakeBundle) -> Path:
    """A folder with two versions of `tiny`."""
    for version in (1, 2):
        make_bundle(tmp_path / "models", "tiny", version)
    return tmp_path / "models"


@pytest.fixture
def managed(folder: Path, start_server: StartServer) -> Iterator[ServerProcess]:
    with start_server(folder, "--allow-admin") as server:
        yield server


def test_the_command_loads_unloads_and_moves_aliases(
    managed: ServerProcess, folder: Path, run_command: RunCommand, make_bundle: MakeBundle
) -> None:
    def admin(*words: str) -> str:
        done = run_command("admin", *words, "--server", managed.address)
        assert not done.stderr
        return done.stdout.strip()

    assert admin("alias", "tiny:stable", "1") == f"{managed.address}: tiny:stable points to version 1"
    make_bundle(folder, "tiny", 3)
    assert admin("load", "tiny:3").startswith(f"{managed.address}: tiny:3@")
    with Client(managed.address, model="tiny:stable") as client:
        assert client.generate(1).model.version == 1
        assert client.get_model().aliases == ("stable",)
    with Client(managed.address, model="tiny") as client:
        assert client.generate(1).model.version == 1
    assert admin("alias", "tiny:stable", "3").endswith("points to version 3, before to 1")
    with Client(managed.address, model="tiny") as client:
        assert client.generate(1).model.version == 3
    assert admin("unload", "tiny:2") == f"{managed.address}: unloaded tiny:2"
    models = json.loads(admin("status", "--json"))[managed.address]["models"]
    assert [(model["identity"]["version"], model.get("state"), model.get("aliases")) for model in models] == [
        (1, "MODEL_STATE_SERVING", None),
        (2, None, None),
        (2, "MODEL_STATE_DRAINING", None),
        (3, "MODEL_STATE_SERVING", ["stable"]),
    ]
    assert "not loaded" in admin("status")
    assert "pointed to version 3" in admin("alias", "tiny:stable", "--remove")


def test_aliases_survive_a_restart(folder: Path, start_server: StartServer, run_command: RunCommand) -> None:
    with start_server(folder, "--allow-admin") as server:
        assert run_command("admin", "alias", "tiny:canary", "1", "--server", server.address).returncode == 0
        assert server.stop() == 0
    with start_server(folder) as server, Client(server.address, model="tiny:canary") as client:
        assert client.generate(1).model.version == 1


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("load", "tiny:9"), 5, "there is no bundle tiny/9 in the server's folder of models"),
        (("load", "../models/tiny:1"), 5, "there is no bundle ../models/tiny/1"),
        (("load", "tiny:x"), 2, "'tiny:x' is no model; give name:version"),
        (("unload", "faces"), 5, "'faces' is not loaded"),
        (("alias", "tiny:stable"), 2, "give the version that the alias is to point to, or --remove"),
        (("alias", "tiny:2", "2"), 2, "'tiny:2' is no alias; give name:alias"),
        (("status", "--timeout", "0"), 2, "--timeout. Give more than 0 and at most 86,400, or inf."),
        (("load", f"tiny:{2**40}"), 2, "is no model; give name:version"),
        (("alias", "tiny:canary", "-1"), 2, "Give 1 to 4,294,967,295."),
    ],
)
def test_what_cannot_be_done_is_one_line(
    managed: ServerProcess, run_command: RunCommand, words: tuple[str, ...], code: int, text: str
) -> None:
    done = run_command("admin", *words, "--server", managed.address)
    assert done.returncode == code
    (line,) = done.stderr.splitlines()
    assert text in line


def test_a_server_lets_nobody_manage_it_unless_it_was_told_to(
    folder: Path, start_server: StartServer, run_command: RunCommand, inference_stub: Callable[[Any], Any]
) -> None:
    with start_server(folder) as server:
        done = run_command("admin", "unload", "tiny:1", "--server", server.address)
        assert done.returncode == 5
        assert "lets nobody manage its models; start it with `ganserve serve --allow-admin`" in done.stderr
        with grpc.insecure_channel(server.address) as channel:
            stub, unload = inference_stub(channel), inference_pb2.RepositoryModelUnloadRequest(model_name="tiny")
            with pytest.raises(grpc.RpcError, match=r"'tiny' is left as it is: .*--allow-admin would let it"):
                stub.RepositoryModelUnload(unload, timeout=20)
        with Client(server.address, model="tiny:1") as client:
            assert len(client.generate(1)) == 1


def test_others_cannot_change_what_is_served_unless_they_show_who_they_are(
    folder: Path, run_command: RunCommand
) -> None:
    done = run_command("serve", "--models", folder, "--listen", "0.0.0.0:0", "--plaintext", "--channelz")
    assert done.returncode == 2
    assert "--channelz: other machines can reach --listen 0.0.0.0:0" in done.stderr
    done = run_command("serve", "--models", folder, "--listen", "0.0.0.0:0", "--plaintext", "--allow-admin")
    assert done.returncode == 2
    assert "--allow-admin: other machines can reach --listen 0.0.0.0:0" in done.stderr


def test_kserves_protocol_loads_and_unloads(
    managed: ServerProcess, folder: Path, make_bundle: MakeBundle, inference_stub: Callable[[Any], Any]
) -> None:
    make_bundle(folder, "other")
    with grpc.insecure_channel(managed.address) as channel:
        stub = inference_stub(channel)
        stub.RepositoryModelLoad(inference_pb2.RepositoryModelLoadRequest(model_name="other"), timeout=60)
        index = stub.RepositoryIndex(inference_pb2.RepositoryIndexRequest(), timeout=20).models
        assert [(entry.name, entry.version, entry.state) for entry in index] == [
            ("other", "1", "READY"),
            ("tiny", "1", "READY"),
            ("tiny", "2", "READY"),
        ]
        unload = inference_pb2.RepositoryModelUnloadRequest(model_name="tiny")
        unload.parameters["unload_dependents"].bool_param = False  # which Triton's client sends
        stub.RepositoryModelUnload(unload, timeout=60)
        with pytest.raises(grpc.RpcError, match="there is no model 'tiny'"):
            stub.ModelMetadata(inference_pb2.ModelMetadataRequest(name="tiny"), timeout=20)
        load = inference_pb2.RepositoryModelLoadRequest(model_name="tiny")
        load.parameters["file:1/model.onnx"].bytes_param = b"weights"
        with pytest.raises(grpc.RpcError, match="does not go with a model that lies in the server's folder"):
            stub.RepositoryModelLoad(load, timeout=20)


def spoil(bundle: Path) -> None:
    (bundle / "model.onnx").write_bytes(b"")


def test_one_bad_bundle_leaves_the_others_alone(folder: Path, start_server: StartServer) -> None:
    spoil(folder / "tiny" / "2")
    with start_server(folder, "--http", "127.0.0.1:0") as server:
        assert any("tiny:2 is refused: " in line for line in server.log)
        with Client(server.address, model="tiny") as client:
            assert client.generate(1).model.version == 1
            states = [(model.version, model.state_reason) for model in client.list_models()]
        assert states[0] == (1, "")
        assert states[1][1].startswith("tiny/2/model.onnx is torn or altered")
        with (
            Client(server.address, model="tiny:2") as client,
            pytest.raises(PreconditionError, match=r"tiny:2 is not served here: tiny/2/model\.onnx is torn"),
        ):
            client.generate(1)
        assert server.stop() == 0


def test_a_strict_server_does_not_start_with_a_bad_bundle(folder: Path, run_command: RunCommand) -> None:
    spoil(folder / "tiny" / "2")
    done = run_command("serve", "--models", folder, "--listen", "127.0.0.1:0", "--strict")
    assert done.returncode == 3
    assert "model.onnx is torn or altered" in done.stderr.splitlines()[-1]


def test_a_watched_folder_may_be_empty_at_first(
    tmp_path: Path, start_server: StartServer, make_bundle: MakeBundle
) -> None:
    (tmp_path / "models").mkdir()
    with start_server(tmp_path / "models", "--watch", "0.1") as server:
        with Client(server.address, model="tiny") as client, pytest.raises(NotFoundError):
            client.generate(1)
        bundle = make_bundle(tmp_path / "models")
        server.wait_for("tiny:1 on cpu")
        with Client(server.address, model="tiny") as client:
            assert len(client.generate(1)) == 1
        shutil.rmtree(bundle)
        server.wait_for("tiny:1 has left the folder")
        assert server.stop() == 0


def test_two_models_are_compared_by_the_samples_of_the_same_addresses(
    managed: ServerProcess, run_command: RunCommand, tmp_path: Path
) -> None:
    out = tmp_path / "pairs.png"
    words = ("tiny:1", "tiny:2", "--seed", "7", "--count", "5", "-o", out, "--server", managed.address)
    done = run_command("admin", "compare", *words)
    assert not done.stderr
    assert "5 samples of seed 7 by tiny:1@" in done.stdout
    (said,) = [line for line in done.stdout.splitlines() if line.startswith("pixels: ")]
    assert not said.startswith("pixels: 0 apart")
    with Image.open(out) as picture:
        assert picture.width > picture.height
    same = run_command("admin", "compare", "tiny:1", *words[:1], *words[2:])
    assert "pixels: 0 apart on average" in same.stdout


def test_models_whose_images_have_other_shapes_are_not_compared(
    managed: ServerProcess, folder: Path, run_command: RunCommand, make_bundle: MakeBundle, tiny_card: ModelCard
) -> None:
    card = ModelCard()
    card.CopyFrom(tiny_card)
    card.image.CopyFrom(ImageShape(height=5, width=6, channels=3))
    make_bundle(folder, "turned", card=card)
    assert run_command("admin", "load", "turned", "--server", managed.address).returncode == 0
    out = folder.parent / "pairs.png"
    done = run_command("admin", "compare", "tiny:1", "turned:1", "--seed", "7", "-o", out, "--server", managed.address)
    assert "makes images of 6×5×3" in done.stderr
    assert not out.exists()


def test_an_alias_that_points_to_nothing_is_told(
    folder: Path, start_server: StartServer, run_command: RunCommand
) -> None:
    (folder / "aliases.json").write_text('{"tiny": {"canary": 9}}')
    with start_server(folder, "--allow-admin") as server:
        lost = "the alias tiny:canary points to version 9, of which there is no bundle"
        assert sum(lost in line for line in server.log) == 1
        (row,) = [
            line
            for line in run_command("admin", "status", "--server", server.address).stdout.splitlines()
            if line.startswith("tiny:9 ")
        ]
        assert row.split() == ["tiny:9", "not", "loaded", "canary", "there", "is", "no", "such", "bundle"]
    done = run_command("serve", "--models", folder, "--listen", "127.0.0.1:0", "--strict")
    assert done.returncode == 3
    assert f"aliases.json: {lost}" in done.stderr


def test_servers_of_one_folder_say_which_aliases_others_have_moved(
    folder: Path, start_server: StartServer, run_command: RunCommand
) -> None:
    with start_server(folder, "--allow-admin") as first, start_server(folder, "--allow-admin") as second:
        both = ("--server", first.address, "--server", second.address)

        def alias(*words: str) -> str:
            done = run_command("admin", "alias", *words)
            assert done.returncode == 0, done.stderr
            return done.stdout

        alias("tiny:stable", "1", *both)
        alias("tiny:stable", "2", "--server", first.address)
        alias("tiny:canary", "1", "--server", second.address)
        second.wait_for("(the alias tiny:stable points to version 2)")
        assert alias("tiny:canary", "--remove", *both).count("is removed, which pointed to version 1") == 2


def test_several_servers_are_asked_in_turns_whatever_the_first_says(
    folder: Path, start_server: StartServer, run_command: RunCommand
) -> None:
    with start_server(folder) as closed, start_server(folder, "--allow-admin") as managed:
        servers = ("--server", closed.address, "--server", managed.address)
        done = run_command("admin", "alias", "tiny:stable", "1", *servers)
        assert done.returncode == 5
        assert done.stdout == f"{managed.address}: tiny:stable points to version 1\n"
        assert done.stderr.startswith(f"ganserve: error: {closed.address} lets nobody manage its models")
