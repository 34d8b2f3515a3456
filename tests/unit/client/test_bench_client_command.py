from __future__ import annotations

import sys
from collections.abc import Generator

import pytest

from ganserve.cli import main
from ganserve.client.benchmark.turns import take_turn

from .scripted import ScriptedServer

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
    "flags",
    [["--rounds", "0"], ["--seconds", "0"], ["--size", "0"], ["--prefetch", "0"], ["--workers", "-1"]],
    ids=lambda flags: flags[0],
)
def test_numbers_that_cannot_be_used_are_refused(
    server: ScriptedServer, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "client", server.address, "--model", "digits", *QUICK, *flags]) == 2
    assert flags[0] in capsys.readouterr().err


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
