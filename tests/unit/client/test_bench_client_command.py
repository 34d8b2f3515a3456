from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from ganserve.cli import main
from ganserve.client.benchmark import client_speed
from ganserve.client.benchmark.turns import Contestant, Turn, take_turn
from ganserve.contract.errors import UnavailableError

from .scripted import Script, ScriptedServer

QUICK = ["--rounds", "1", "--seconds", "0.01", "--size", "4"]


def test_without_pytorch_the_rest_is_measured(
    server: ScriptedServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["bench", "client", server.address, "--model", "digits", *QUICK]) == 0
    text = capsys.readouterr().out
    assert "There is no DataLoader without PyTorch" in text
    assert "Client.stream" in text


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--rounds", "0"),
        ("--seconds", "0"),
        ("--seconds", "nan"),
        ("--size", "0"),
        ("--prefetch", "0"),
        ("--workers", "-1"),
        ("--workers", "1000"),
        ("--timeout", "inf"),
    ],
)
def test_numbers_that_cannot_be_used_are_refused(
    server: ScriptedServer, flag: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = dict(zip(QUICK[::2], QUICK[1::2], strict=True)) | {flag: value}
    words = [word for pair in given.items() for word in pair]
    assert main(["bench", "client", server.address, "--model", "digits", *words]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert value in error
    assert f"{flag}. Give " in error


def test_a_file_that_cannot_be_written_is_told_before_anything_is_measured(
    script: Script, server: ScriptedServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "client", server.address, "--model", "digits", *QUICK, "--json", str(tmp_path)]) == 3
    assert capsys.readouterr().err == f"ganserve: error: --json {tmp_path} is a folder; give the name of a file\n"
    assert script.requests == []


@pytest.mark.parametrize(
    ("end", "code"), [(UnavailableError("gone"), 5), (KeyboardInterrupt(), 130)], ids=["gone", "^C"]
)
def test_what_was_measured_before_it_ended_is_told(
    server: ScriptedServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    end: BaseException,
    code: int,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    num_warm_up = 3 + 4  # ways but for plain requests, and numbers of these under way
    turns = itertools.count()

    def take(contestant: Contestant, turn_s: float) -> Turn:
        if next(turns) == num_warm_up + 6:  # in the second round, after two of its four
            raise end
        return take_turn(contestant, turn_s)

    monkeypatch.setattr(client_speed, "take_turn", take)
    file = tmp_path / "speed.json"
    words = ["--rounds", "3", "--seconds", "0.01", "--size", "4", "--json", str(file)]
    assert main(["bench", "client", server.address, "--model", "digits", *words]) == code
    shown = capsys.readouterr()
    assert "Client.stream" in shown.out
    missing = {"plain requests": 2, "Client.batches": 2, "Client.stream": 1, "one sample a call": 1}
    assert "plain requests (2 turns); Client.batches (2 turns); Client.stream (1 turn);" in shown.out
    assert shown.err.endswith("; what was measured by then, 6 of 12 turns, is told all the same\n")
    speed = json.loads(file.read_text())
    assert speed["missing"] == missing
    assert [len(rates) for rates in speed["samples_per_s"].values()] == [1, 1, 2]
    assert list(speed["ratios"]) == ["Client.batches / plain requests", "Client.stream / plain requests"]


def test_one_server_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "client", "no address", "--model", "digits", *QUICK]) == 2
    assert "no address" in capsys.readouterr().err


def test_what_it_takes_to_begin_does_not_count() -> None:
    ended = []

    def arrivals() -> Generator[int]:
        try:
            yield 1_000_000
            while True:
                yield 3
        finally:
            ended.append(True)

    turn = take_turn(arrivals, turn_s=1e-9)
    assert turn.samples_per_s == pytest.approx(3 / turn.waits_s[0])
    assert len(turn.waits_s) == 1
    assert ended == [True]
