"""The `ganserve` command itself, and `ganserve models`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading

import pytest

import ganserve.cli as command
from ganserve.cli import main
from ganserve.v1.model_pb2 import ModelState

from .scripted import Script, ScriptedServer

SILENT_IMPORTS = """
import sys
from ganserve.cli import main
code = main(sys.argv[1:])
heavy = [name for name in ("torch", "onnx", "onnxruntime", "grpc", "numpy") if name in sys.modules]
sys.exit(f"imported {heavy}" if heavy else code)
"""


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SILENT_IMPORTS, *words], capture_output=True, text=True, timeout=60, check=False
    )


def test_help_lists_the_commands_and_imports_none() -> None:
    ended = run("--help")
    assert ended.returncode == 0, ended.stderr
    listed = re.findall(r"^│ (\w+) +\S", ended.stdout, re.MULTILINE)
    assert listed == [
        "train",
        "evaluate",
        "data",
        "bench",
        "export",
        "import",
        "rename",
        "inspect",
        "serve",
        "admin",
        "token",
        "generate",
        "interpolate",
        "transform",
        "score",
        "dump",
        "models",
    ]


def test_an_interrupt_that_a_lock_turned_into_an_error_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        try:
            raise KeyboardInterrupt
        finally:
            threading.Lock().release()

    monkeypatch.setattr(command, "_run", interrupted)
    assert main([]) == 130


def test_an_unknown_command_imports_none_either() -> None:
    ended = run("generat")
    assert ended.returncode == 2
    assert ended.stderr == "ganserve: error: there is no command 'generat'; did you mean generate?\n"


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


@pytest.mark.parametrize("name", ["generate", "interpolate", "models"])
def test_the_help_of_a_command_is_its_own_docstring(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert command.COMMANDS[name].help in shown
    assert f"ganserve {name} --" in shown


@pytest.mark.parametrize("name", ["train", "export", "serve"])
def test_a_missing_extra_is_named(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lazy = command.COMMANDS[name]._replace(target="library_that_is_not_there.cli:run")
    monkeypatch.setitem(command.COMMANDS, name, lazy)
    assert main([name, "--out", "x"]) == 2
    said = capsys.readouterr().err
    assert "library_that_is_not_there" in said
    assert said.endswith(f"; in the folder of the clone, pip install --constraint constraints.txt '.[{name}]'\n")


@pytest.mark.parametrize(
    "words", [["train", "--help"], ["train", "x"], ["train"], ["export", "x"], ["serve", "--help"]]
)
def test_a_missing_extra_comes_before_anything_else(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ganserve.contract.extras.find_spec", lambda _: None)
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"ganserve: error: `ganserve {words[0]}` needs ")
    assert said.err.endswith(f"'.[{command.COMMANDS[words[0]].extra}]'\n")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("words", [["train", "--help"], ["data", "pack", "--help"], ["serve", "--help"]])
def test_help_names_a_missing_extra_too(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = " ".join(words[:-1])
    lazy = command.COMMANDS[name]._replace(target="library_that_is_not_there.cli:run")
    monkeypatch.setitem(command.COMMANDS, name, lazy)
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.endswith(f"'.[{lazy.extra}]'\n")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (["generate", "--model", "m", "--out", "a.png", "-n", "1.5"], "-n"),
        (["generate", "--model", "m", "--out", "a.png", "--seed", "7.0"], "--seed"),
        (["models", "--model", "m", "--version", "1.5"], "--version"),
        (["train", "--data", "digits", "--out", "run", "--steps", "1.5"], "--steps"),
        (["train", "--data", "digits", "--out", "run", "--n-critic", "2.5"], "--n-critic"),
        (["evaluate", "run", "--num-images", "1.5"], "--num-images"),
        (["export", "run", "--onnx", "--version", "1.5"], "--version"),
        (["import", "file.onnx", "--version", "1.5"], "--version"),
        (["bench", "model", "bundle", "--lanes", "1.5"], "--lanes"),
        (["serve", "--models", "models", "--max-batch", "1.5"], "--max-batch"),
    ],
)
def test_whole_numbers_have_no_point(words: list[str], flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"ganserve: error: Invalid value for {flag}: '{words[-1]}' is no whole number")
    assert said.count("\n") == 1


def test_real_numbers_may_have_a_point(capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "train",
        "--data",
        "digits",
        "--out",
        "run",
        "--betas",
        "0.5",
        "0.9",
        "--generator-lr",
        "0.001",
        "--dry-run",
    ]
    assert main(words) == 0
    assert "0.001" in capsys.readouterr().out


def test_a_fault_of_our_own_is_not_blamed_on_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(command.COMMANDS, "train", command.COMMANDS["train"]._replace(target="ganserve.no_such:run"))
    with pytest.raises(ImportError):
        main(["train"])


def test_a_reader_that_has_gone(server: ScriptedServer) -> None:
    code = "import sys; from ganserve.cli import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "models", "--server", server.address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    complaint = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), complaint) == (1, "")


def test_models_are_listed(server: ScriptedServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--server", server.address]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["MODEL", "STATE", "IMAGE", "CLASSES", "NETWORK", "LOSS", "RUNS", "ON"]
    assert row.split() == ["digits:2@abababababab", "serving", "4×5×1", "3", "mlp", "non-saturating", "cpu"]


def test_a_card_is_shown(server: ScriptedServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--server", server.address, "--model", "digits"]) == 0
    shown = capsys.readouterr().out
    for fact in ("digits:2", "zero, one, two", "fid", "12.5", "mlp, trained with non-saturating"):
        assert fact in shown


def test_machines_get_json(server: ScriptedServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--server", server.address, "--json"]) == 0
    (model,) = json.loads(capsys.readouterr().out)["models"]
    assert model["state"] == ModelState.Name(ModelState.MODEL_STATE_SERVING)
    assert main(["models", "--server", server.address, "--model", "digits", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["card"]["latent_dim"] == 3


def test_names_are_not_markup(server: ScriptedServer, script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    script.class_names = ("[red]zero", "[/]")
    assert main(["models", "--server", server.address, "--model", "digits"]) == 0
    assert "[red]zero, [/]" in capsys.readouterr().out


def test_a_server_that_is_not_there(deaf_address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--server", deaf_address, "--timeout", "0.3"]) == 5
    said = capsys.readouterr().err
    assert said.startswith(f"ganserve: error: {deaf_address} is unavailable; is `ganserve serve` running there?")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--server", "nonsense"], 2, "'nonsense' is no server address"),
        (["--version", "2"], 2, "--version goes with --model"),
        (["--model", "cats"], 5, "no model 'cats'"),
    ],
)
def test_bad_input(
    server: ScriptedServer, capsys: pytest.CaptureFixture[str], words: list[str], code: int, says: str
) -> None:
    assert main(["models", *words, *([] if "--server" in words else ["--server", server.address])]) == code
    said = capsys.readouterr()
    assert says in said.err
    assert said.out == ""


def test_output_that_cannot_be_written_is_one_line() -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        ended = subprocess.run(
            [sys.executable, "-m", "ganserve.cli", "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == ["ganserve: error: [Errno 28] No space left on device"]


def test_a_terminal_without_unicode_gets_question_marks() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "ganserve.cli", "train", "--data", "×", "--out", "nowhere"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 3
    assert b"?: there is no such file or folder" in ended.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["bench", "server", "127.0.0.1:1"],
        ["bench", "client", "127.0.0.1:1"],
        ["models"],
        ["generate", "--out", "a.png"],
        ["interpolate", "--out", "a.png", "--from", "1:0", "--to", "1:1"],
        ["dump", "--out", "a", "--format", "zip", "-n", "1"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
@pytest.mark.parametrize("model", ["", "@abc"])
def test_a_model_without_a_name_is_told_by_its_flag(
    words: list[str], model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--model", model]) == 2
    told = "ganserve: error: --model names no model; give a model's name, as `ganserve models` lists them\n"
    assert capsys.readouterr().err == told.replace("--model", f"--model {model!r}")
