"""The flags of the scripts, which are refused as those of `ganserve` are."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import time
from pathlib import Path

import pytest

from command import run

from ...warm import start_python

SCRIPTS = Path(__file__).resolve().parents[3] / "benchmarks"


class Script:
    """Runs scripts in this process, which has imported most of what they need."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, name: str, *flags: str) -> tuple[int, str]:
        """Exit code and what is said on standard error."""
        self._monkeypatch.setattr(sys, "argv", [name, *flags])
        spec = importlib.util.spec_from_file_location(f"script_{name.removesuffix('.py')}", SCRIPTS / name)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # where its data classes look for their annotations
        spec.loader.exec_module(module)
        with pytest.raises(SystemExit) as ended:
            run(module.main)
        assert isinstance(ended.value.code, int)
        return ended.value.code, self._capsys.readouterr().err


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Script:
    return Script(monkeypatch, capsys)


@pytest.mark.parametrize(
    ("name", "flags", "text"),
    [
        ("replies.py", ["--rounds", "0"], '"0" for --rounds. Give 1 to 10,000.'),
        ("replies.py", ["--rounds", "-1"], '"-1" for --rounds. Give 1 to 10,000.'),
        ("startup.py", ["--rounds", "0"], '"0" for --rounds. Give 1 to 10,000.'),
        ("startup.py", ["--seconds", "nan"], '"nan" for --seconds. Give more than 0 and at most 3,600.'),
        ("serving.py", ["--rounds", "0"], '"0" for --rounds.'),
        ("loading.py", ["--callers", "0"], '"0" for --callers.'),
        ("counting.py", ["--rounds", "1"], '"1" for --rounds. Give 2 to 10,000.'),
        ("overload.py", ["--seconds", "0"], '"0.0" for --seconds.'),
        ("faults.py", ["--seconds", "nan"], '"nan" for --seconds.'),
        ("rewrites.py", ["--seconds", "0"], '"0.0" for --seconds.'),
        ("rewrites.py", ["--batch-size", "0"], "for --batch-size. Give 1 to 4,096."),
        ("gpu.py", ["bundle", "--seconds", "-1"], '"-1.0" for --seconds.'),
        ("peers.py", ["--seconds", "inf"], '"inf" for --seconds.'),
        ("peers.py", ["--rounds", "1.5"], "'1.5' is no whole number"),
        ("peers.py", ["--width", "0"], '"0" for --width. Give 1 to 1,024.'),
        ("peers.py", ["--shape", "0", "32", "3"], "for --shape. Give 1 to 16,384."),
        ("peers.py", ["--shape", "32", "32", "2"], "--shape 32 32 2: give 1 channel or 3"),
        (
            "peers.py",
            ["--peers", "threads,grpc"],
            "--peers has grpc; there are threads, pytriton, mlserver, litserve, ray",
        ),
        ("peers.py", ["--empty-shape"], "Unknown option: --empty-shape."),
        ("threads.py", ["--steps", "0"], '"0" for --steps.'),
        ("threads.py", ["--preset", "nothing"], "nothing"),
        ("training.py", ["--batch-size", "0"], '"0" for --batch-size.'),
        ("anomalies.py", ["--data", "a", "--out", "b", "--steps", "0"], '"0" for --steps.'),
        ("augmentation.py", ["--data", "a", "--out", "b", "--per-class", "0"], "for --per-class."),
    ],
    ids=lambda value: value if isinstance(value, str) and value.endswith(".py") else "",
)
def test_numbers_that_cannot_be_used_are_refused(script: Script, name: str, flags: list[str], text: str) -> None:
    code, said = script(name, *flags)
    assert code == 2
    (error,) = said.splitlines()
    assert error.startswith(f"{name}: error: ")
    assert text in error


def test_a_file_that_cannot_be_written_is_told_before_anything_is_measured(script: Script, tmp_path: Path) -> None:
    told = f"peers.py: error: --json {tmp_path} is a folder; give the name of a file\n"
    assert script("peers.py", "--json", str(tmp_path)) == (3, told)


def test_a_preset_that_is_none_is_told(script: Script, tmp_path: Path) -> None:
    preset = tmp_path / "mine.toml"
    preset.write_text("depth = 3\n")
    code, said = script("training.py", "--preset", str(preset))
    assert code == 2
    assert re.fullmatch(r"training\.py: error: .*mine\.toml: cannot be read as settings \(.*'depth'.*\)\n", said)


def test_a_server_that_does_not_start_is_told(script: Script, tmp_path: Path) -> None:
    code, said = script("serving.py", "--models", str(tmp_path / "nowhere"))
    assert code == 1
    (error,) = said.splitlines()
    assert error.startswith("serving.py: error: ")
    assert "nowhere is not a folder" in error


def test_a_script_that_is_stopped_leaves_no_server(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with start_python(SCRIPTS / "serving.py", "--rounds", "10000", env=environment) as running:
        while len(servers := _children(running.pid)) < 2:
            assert running.poll() is None
            time.sleep(0.05)
        running.terminate()
        assert running.wait(60) == 130
    assert not any(Path(f"/proc/{pid}/exe").exists() for pid in servers)


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for children in listed for child in children.read_text().split()]
