"""`ganserve bench server` against a server that answers what it is told to."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ganserve.cli import main
from ganserve.client.benchmark.server import process

from .scripted import Script, ScriptedServer

QUICK = {"--rounds": "2", "--seconds": "0.02"}


def bench(server: ScriptedServer, *flags: object) -> int:
    given = list(map(str, flags))
    quick = [word for flag, value in QUICK.items() if flag not in given for word in (flag, value)]
    return main(["bench", "server", server.address, "--model", "digits", *quick, *given])


def test_every_load_is_measured(
    script: Script, server: ScriptedServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    script.max_samples = 64
    file, plot = tmp_path / "speed.json", tmp_path / "speed.svg"
    assert bench(server, "--json", file, "--plot", plot) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    for text in ("closed loops and streams", "64 × 1, raw, 32 a call", "1 stream", "open loop, 1 sample", "300 %"):
        assert text in shown.out
    speed = json.loads(file.read_text())
    assert speed["image"] == [4, 5, 1]
    assert list(speed["opened"]) == ["20", "50", "80", "100", "120", "200", "300"]
    turns = [*speed["closed"].values(), *speed["opened"].values(), speed["stream"], speed["peak_per_s"]]
    assert {len(rounds) for rounds in turns} == {2}
    for number, peak_per_s in enumerate(speed["peak_per_s"]):
        offered = [rounds[number]["offered_per_s"] / peak_per_s for rounds in speed["opened"].values()]
        assert offered == pytest.approx([0.2, 0.5, 0.8, 1, 1.2, 2, 3])
    assert all(turn["p50_ms"] <= turn["p99_ms"] for rounds in speed["closed"].values() for turn in rounds)
    assert {turn["server_cpu_s"] for turn in speed["stream"]} == {None}
    assert plot.read_text().startswith("<svg")


def test_what_the_server_does_not_do_is_left_out(
    script: Script, server: ScriptedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    script.knows_many, script.max_samples = False, 10
    assert bench(server, "--loads", "closed", "replies") == 0
    text = capsys.readouterr().out
    assert "Left out: 64 × 1, raw, 32 a call: the server takes one request a call." in text
    assert "Left out: 1 × 64, png: the server makes at most 10 a request." in text
    assert "Left out: a reply of 32 MiB: it would take" in text
    assert "open loop" not in text
    assert "1 stream" not in text


def test_an_open_loop_of_several_samples_brings_its_own_peak(
    script: Script, server: ScriptedServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file, plot = tmp_path / "speed.json", tmp_path / "speed.png"
    assert bench(server, "--loads", "open", "--size", 3, "--json", file, "--plot", plot) == 0
    assert "open loop, 3 samples a request" in capsys.readouterr().out
    speed = json.loads(file.read_text())
    assert list(speed["closed"]) == ["8 × 3, raw", "64 × 3, raw"]
    assert speed["stream"] == []
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert script.many == []


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--rounds", "0"], "--rounds"),
        (["--seconds", "0"], "--seconds"),
        (["--seconds", "nan"], "--seconds"),
        (["--size", "0"], "--size"),
        (["--size", "11"], "--size is 11, and the server makes at most 10 samples of digits:2@"),
        (["--processes", "0"], "--processes"),
        (["--deadline", "0"], "--deadline"),
        (["--loads", "fast"], "fast"),
        (["--plot", "plot.pdf"], "--plot plot.pdf: a plot is a file that ends in .svg or .png"),
        (["--loads", "streams", "--plot", "plot.svg"], "add closed or open to --loads"),
        (["--server-pid", "-1"], "--server-pid -1: there is no such process on this machine"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_numbers_and_names_that_cannot_be_used_are_refused(
    server: ScriptedServer, flags: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(server, *flags) == 2
    error = capsys.readouterr().err
    assert text in error
    assert len(error.splitlines()) == 1


def test_a_model_that_is_not_there(server: ScriptedServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "server", server.address, "--model", "cats"]) == 5
    assert "cats" in capsys.readouterr().err


def test_a_server_that_is_not_there(deaf_address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "server", deaf_address, "--model", "digits", "--timeout", "0.2"]) == 5
    assert deaf_address in capsys.readouterr().err.splitlines()[-1]


def test_the_cpu_time_of_a_process_grows() -> None:
    own = process.ServerProcess(os.getpid())
    before_s = own.cpu_s()
    while own.cpu_s() == before_s:
        pass
    assert own.cpu_s() > before_s > 0


def test_a_system_that_does_not_tell_of_processes(
    server: ScriptedServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(process, "_PROCESSES", tmp_path)
    assert bench(server, "--server-pid", os.getpid()) == 2
    assert "--server-pid reads /proc, which this system does not have; leave it out" in capsys.readouterr().err
