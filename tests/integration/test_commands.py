"""The commands as a person runs them, with good input and bad."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ..servers import RunCommand, ServerProcess


def test_export_prints_what_it_proved(runs: Path, run_command: RunCommand, tmp_path: Path) -> None:
    done = run_command("export", runs / "plain", "--onnx", "--models", tmp_path, "--name", "copy")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^ +64 +none +fp32 +[\d.e-]+ +\d+ of 4,096 +[01] ", done.stdout, re.MULTILINE)
    assert f"Next: ganserve serve --models {tmp_path}" in done.stdout
    assert sorted(path.name for path in (tmp_path / "copy" / "1").iterdir()) == [
        "README.md",
        "manifest.json",
        "model.onnx",
        "samples.png",
    ]


def flip_a_bit(checkpoint: Path) -> None:
    data = bytearray(checkpoint.read_bytes())
    data[-100] ^= 1
    checkpoint.write_bytes(data)


def tear(checkpoint: Path) -> None:
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])


@pytest.mark.parametrize(("spoil", "message"), [(flip_a_bit, "altered"), (tear, "torn")])
def test_a_spoilt_checkpoint_is_never_exported(
    runs: Path, run_command: RunCommand, tmp_path: Path, spoil: object, message: str
) -> None:
    assert callable(spoil)
    run = tmp_path / "run"
    shutil.copytree(runs / "plain", run)
    (checkpoint,) = run.rglob("*.safetensors")
    spoil(checkpoint)
    done = run_command("export", run, "--onnx", "--models", tmp_path / "models")
    assert done.returncode == 3
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "models").exists()


def test_generate_writes_a_grid(server: ServerProcess, run_command: RunCommand, tmp_path: Path) -> None:
    out = tmp_path / "grid.png"
    done = run_command(
        "generate", "--server", server.address, "--model", "digits", "-n", "16", "--seed", "7", "--out", out
    )
    assert done.returncode == 0, done.stderr
    assert "7" in done.stdout
    with Image.open(out) as grid:
        assert min(grid.size) >= 4 * 8


def test_generate_writes_files_and_their_labels(server: ServerProcess, run_command: RunCommand, tmp_path: Path) -> None:
    out = tmp_path / "samples"
    flags = ("-n", "20", "--seed", "7", "--labels", "3", "--format", "png")
    done = run_command("generate", "--server", server.address, "--model", "digits", *flags, "--out", f"{out}/")
    assert done.returncode == 0, done.stderr
    files = sorted(out.glob("*.png"))
    assert len(files) == 20
    assert np.asarray(Image.open(files[0])).shape == (8, 8)
    labels = (out / "labels.csv").read_text().splitlines()
    assert len(labels) == 21
    assert all("3" in line.split(",")[1] for line in labels[1:])


def test_models_lists_what_is_served(server: ServerProcess, run_command: RunCommand) -> None:
    done = run_command("models", "--server", server.address)
    assert done.returncode == 0, done.stderr
    assert "digits" in done.stdout
    assert "plain" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("generate", "--server", "SERVER", "--model", "faces", "-n", "1"), 5, "no model 'faces'"),
        (("generate", "--server", "SERVER", "--model", "digits", "-n", "0"), 2, "0"),
        (("generate", "--server", "SERVER", "--model", "digits", "-n", "1", "--labels", "cat"), 2, "no class 'cat'"),
        (("generate", "--server", "SERVER", "--model", "digits", "-n", "1", "--labels", "-1"), 2, "-1"),
        (("generate", "--server", "SERVER", "--model", "plain", "-n", "1", "--labels", "1"), 2, "takes no labels"),
        (("generate", "--server", "127.0.0.1:1", "--model", "digits", "-n", "1", "--timeout", "5"), 5, "127.0.0.1:1"),
        (("models", "--server", "127.0.0.1:1"), 5, "127.0.0.1:1"),
        (("export", "nowhere", "--onnx"), 3, "nowhere"),
        (("export", "nowhere"), 2, "--onnx"),
        (("train", "--data", "nowhere", "--out", "OUT"), 3, "nowhere"),
        (("train", "--data", "digits", "--out", "OUT", "--loss", "magic"), 2, "magic"),
        (("train", "--data", "EMPTY", "--out", "OUT"), 3, "EMPTY"),
        (("fly",), 2, "no command 'fly'"),
    ],
)
def test_bad_input_gets_one_line(
    server: ServerProcess,
    run_command: RunCommand,
    tmp_path: Path,
    arguments: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    (tmp_path / "empty").mkdir()
    places = {"SERVER": server.address, "OUT": str(tmp_path / "out"), "EMPTY": str(tmp_path / "empty")}
    words = [places.get(word, word) for word in arguments]
    if arguments[0] == "generate":
        words += ["--out", places["OUT"] + ".png"]
    done = run_command(*words)
    assert done.returncode == code, done.stderr
    *waiting, said = done.stderr.splitlines()
    assert said.startswith("ganserve: error: ")
    assert all(re.search("the call will be tried again for [0-9]+ s more", line) for line in waiting)
    assert places.get(message, message) in done.stderr
    assert not [path for path in tmp_path.iterdir() if path.name != "empty"]
