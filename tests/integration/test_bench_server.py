"""`ganserve bench server` against a real server."""

from __future__ import annotations

import json
from pathlib import Path

from ..servers import RunCommand, ServerProcess

QUICK = ("--rounds", "2", "--seconds", "0.05")


def test_a_server_is_measured_with_its_cpu_time(server: ServerProcess, run_command: RunCommand, tmp_path: Path) -> None:
    file, plot = tmp_path / "speed.json", tmp_path / "plots" / "speed.svg"
    flags = ("--json", file, "--plot", plot, "--server-pid", str(server.process.pid))
    done = run_command("bench", "server", server.address, "--model", "digits:2", *QUICK, *flags)
    assert (done.returncode, done.stderr) == (0, "")
    assert "8×8×1, on cpu with" in done.stdout
    speed = json.loads(file.read_text())
    assert speed["model"].startswith("digits:2@")
    assert len(speed["closed"]) == 13
    closed = [turn for rounds in speed["closed"].values() for turn in rounds]
    assert min(turn["images_per_s"] for turn in closed) > 0
    assert sum(turn["server_cpu_s"] for turn in closed) > 0
    assert sum(turn["client_cpu_s"] for turn in closed) > 0
    for turn in (turn for rounds in speed["opened"].values() for turn in rounds):
        ends = ("answered", "refused", "expired", "cancelled", "failed", "unsent")
        assert sum(turn[f"num_{end}"] for end in ends) == turn["num_scheduled"]
        assert turn["num_cancelled"] == turn["num_failed"] == 0
    assert plot.read_text().startswith("<svg")


def test_processes_share_the_load(server: ServerProcess, run_command: RunCommand) -> None:
    flags = ("--loads", "open", "--processes", "2")
    done = run_command("bench", "server", server.address, "--model", "plain", *QUICK, *flags)
    assert (done.returncode, done.stderr) == (0, "")
    assert "load from 2 processes" in done.stdout


def test_a_model_that_is_not_there(server: ServerProcess, run_command: RunCommand) -> None:
    done = run_command("bench", "server", server.address, "--model", "cats")
    assert done.returncode == 5
    assert "cats" in done.stderr
    assert len(done.stderr.splitlines()) == 1
