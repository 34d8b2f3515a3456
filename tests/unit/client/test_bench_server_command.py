"""`ganserve bench server` against a server that answers what it is told to."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from ganserve.cli import main
from ganserve.client.benchmark.load import LoadGenerator, Outcomes
from ganserve.client.benchmark.server import process
from ganserve.v1.generator_pb2 import StreamSamplesRequest

from ...warm import start_command
from .scripted import UNAVAILABLE, Script, ScriptedServer

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
    assert speed["missing"] == {}
    assert "Not measured" not in shown.out
    accounts = shown.out.partition("what became of the requests")[2].splitlines()[2:9]
    for line, rounds in zip(accounts, speed["opened"].values(), strict=True):
        scheduled, *ends = (int(number.replace(",", "")) for number in line.partition("%")[2].split())
        assert scheduled == sum(turn["num_scheduled"] for turn in rounds) == sum(ends)
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
        (["--rounds", "0"], '"0" for --rounds. Give 1 to 10,000.'),
        (["--seconds", "0"], '"0.0" for --seconds. Give more than 0 and at most 3,600.'),
        (["--seconds", "-1"], '"-1.0" for --seconds. Give more than 0'),
        (["--seconds", "nan"], '"nan" for --seconds. Give more than 0'),
        (["--seconds", "inf"], '"inf" for --seconds. Give more than 0'),
        (["--size", "0"], '"0" for --size. Give 1 to 1,000,000.'),
        (["--size", "11"], "--size is 11, and the server makes at most 10 samples of digits:2@"),
        (["--processes", "0"], '"0" for --processes. Give 1 to '),
        (["--processes", "1000"], ", 2 for each core of this machine."),
        (["--deadline", "0"], '"0.0" for --deadline. Give more than 0'),
        (["--timeout", "nan"], '"nan" for --timeout. Give more than 0'),
        (["--loads", "fast"], "fast"),
        (["--plot", "plot.pdf"], "--plot plot.pdf: a plot is a file that ends in .svg or .png"),
        (["--loads", "streams", "--plot", "plot.svg"], "add closed or open to --loads"),
        (["--json", "plot.svg", "--plot", "./plot.svg"], "--json and --plot are the same file, plot.svg; give each"),
        (["--server-pid", "-1"], "--server-pid -1: there is no such process on this machine"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_numbers_and_names_that_cannot_be_used_are_refused(
    server: ScriptedServer, flags: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(server, *flags) == 2
    error = capsys.readouterr().err
    assert text in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("flag", ["--json", "--plot"])
@pytest.mark.parametrize("name", ["file/new.svg", "folder.svg", "pipe.svg", "/proc/new.svg"])
def test_a_file_that_cannot_be_written_is_told_before_anything_is_measured(
    script: Script, server: ScriptedServer, tmp_path: Path, flag: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder.svg").mkdir()
    os.mkfifo(tmp_path / "pipe.svg")
    assert bench(server, flag, tmp_path / name) == 3
    assert script.requests == []
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith(f"ganserve: error: {flag} {tmp_path / name} ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.svg", "pipe.svg"]


def test_what_was_measured_before_the_server_stopped_is_told(
    script: Script, server: ScriptedServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there, gone = (2**63, UNAVAILABLE), (0, UNAVAILABLE)
    script.stream.extend([there] * 4 + [gone])  # of which the first two are the warm-up
    file = tmp_path / "speed.json"
    assert bench(server, "--loads", "streams", "--rounds", 5, "--json", file) == 5
    shown = capsys.readouterr()
    assert "1 stream " in shown.out
    assert "Not measured, since it ended early: 1 stream (3 turns)." in shown.out
    (error,) = shown.err.splitlines()
    assert server.address in error
    assert error.endswith("; what was measured by then, 2 of 5 turns, is told all the same")
    speed = json.loads(file.read_text())
    assert (len(speed["stream"]), speed["missing"]) == (2, {"1 stream": 3})


def test_a_server_that_is_gone_in_an_open_loop_ends_the_measurement(
    server: ScriptedServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = LoadGenerator.open_loop

    def lose_the_server(generator: LoadGenerator, *arguments: Any, **options: Any) -> Outcomes:
        server.stop()
        return taken(generator, *arguments, **{**options, "calls_per_s": 1000.0})

    monkeypatch.setattr(LoadGenerator, "open_loop", lose_the_server)
    plot = tmp_path / "speed.svg"
    assert bench(server, "--loads", "open", "--plot", plot) == 5
    shown = capsys.readouterr()
    assert "8 × 1, raw" in shown.out
    assert "open loop at 20 % (2 turns); open loop at 50 % (2 turns)" in shown.out
    assert f"There is no {plot}, since nothing of what it shows was measured." in shown.out
    assert "does not answer any more" in shown.err
    assert not plot.exists()


def children(pid: int) -> list[int]:
    return [
        int(child) for listed in Path(f"/proc/{pid}/task").glob("*/children") for child in listed.read_text().split()
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
@pytest.mark.parametrize("num_processes", [1, 2])
def test_it_can_be_ended_at_any_time_and_leaves_no_process(
    script: Script, server: ScriptedServer, tmp_path: Path, number: signal.Signals, num_processes: int
) -> None:
    file = tmp_path / "speed.json"
    flags = ("--loads", "streams", "--rounds", "1000", "--seconds", "0.02", "--processes", str(num_processes))
    command = ["bench", "server", server.address, "--model", "digits", *flags, "--json", str(file)]
    with start_command(command) as bench:
        while len(script.asked(StreamSamplesRequest)) < 6:  # of which two are the warm-up
            assert bench.poll() is None
            time.sleep(0.01)
        started = children(bench.pid)
        assert len(started) >= num_processes * (num_processes > 1)
        bench.send_signal(number)
        out, error = bench.communicate()
    while any(Path(f"/proc/{pid}/exe").exists() for pid in started):
        time.sleep(0.01)
    if number is signal.SIGKILL:
        return
    assert bench.returncode == 130
    speed = json.loads(file.read_text())
    num_turns = len(speed["stream"])
    assert num_turns >= 3
    assert speed["missing"] == {"1 stream": 1000 - num_turns}
    assert f"Not measured, since it ended early: 1 stream ({1000 - num_turns} turns)." in out
    told = f"what was measured by then, {num_turns} of 1,000 turns, is told all the same"
    assert error == f"ganserve: interrupted; {told}\n"


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
    told = f"--server-pid {os.getpid()}: CPU time is read from /proc, which Linux has and this system does not"
    assert told in capsys.readouterr().err
