"""`ganserve bench client` against a real server, with workers."""

from __future__ import annotations

import json
from pathlib import Path

from ..servers import RunCommand, ServerProcess

WAYS = ["plain requests", "Client.batches", "Client.stream", "DataLoader"]
QUICK = ("--rounds", "2", "--seconds", "0.02", "--size", "4")


def test_every_way_of_asking_is_measured(server: ServerProcess, run_command: RunCommand, tmp_path: Path) -> None:
    file = tmp_path / "speed.json"
    done = run_command("bench", "client", server.address, "--model", "digits:2", *QUICK, "--json", file)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line for line in done.stdout.splitlines() if line.startswith(tuple(WAYS))]
    assert [next(way for way in WAYS if row.startswith(way)) for row in rows] == WAYS
    assert "A call for one sample takes" in done.stdout
    speed = json.loads(file.read_text())
    assert speed["model"].startswith("digits:2@")
    assert speed["settings"] == {"size": 4, "prefetch": 2, "num_workers": 2, "num_rounds": 2, "turn_s": 0.02}
    assert list(speed["samples_per_s"]) == WAYS
    assert all(len(rates) == 2 and min(rates) > 0 for rates in speed["samples_per_s"].values())
    assert len(speed["p50_ms"]) == len(speed["p99_ms"]) == 2
    assert all(median <= late for median, late in zip(speed["p50_ms"], speed["p99_ms"], strict=True))
    first = speed["samples_per_s"]["DataLoader"][0] / speed["samples_per_s"]["Client.batches"][0]
    ratio = speed["ratios"]["DataLoader / Client.batches"]
    assert ratio["low"] <= first <= ratio["high"]


def test_an_unconditional_model_without_workers(server: ServerProcess, run_command: RunCommand) -> None:
    done = run_command("bench", "client", server.address, "--model", "plain", *QUICK, "--workers", "0")
    assert (done.returncode, done.stderr) == (0, "")
    assert "0 workers of the DataLoader" in done.stdout


def test_a_size_that_no_request_may_have_is_refused(server: ServerProcess, run_command: RunCommand) -> None:
    done = run_command("bench", "client", server.address, "--model", "digits", "--size", "1000000")
    assert done.returncode == 2
    assert "--size is 1000000, and the server makes at most" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_model_that_is_not_there(server: ServerProcess, run_command: RunCommand) -> None:
    done = run_command("bench", "client", server.address, "--model", "cats")
    assert done.returncode != 0
    assert "cats" in done.stderr
    assert len(done.stderr.splitlines()) == 1
