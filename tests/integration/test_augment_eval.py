"""`ganserve augment-eval` finds the same through a server as in this process, and copies where there are some."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ganserve.cli import main

from ..servers import ServerProcess

FEW = ("--holdout", "0.5", "--per-class", "4", "--steps", "2", "--ratios", "1", "--learning-rates", "0.003")


def found(path: Path) -> list[dict[str, Any]]:
    trainings: list[dict[str, Any]] = json.loads(path.read_text())["trainings"]
    return [{name: value for name, value in each.items() if name != "seconds"} for each in trainings]


def test_a_server_and_a_bundle_give_the_same(
    models: Path, server: ServerProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("augment-eval", "--real", "digits", *FEW, "--no-memorisation", "--device", "cpu")
    here, there = tmp_path / "here.json", tmp_path / "there.json"
    assert main([*flags, "--bundle", str(models / "digits" / "2"), "--json", str(here)]) == 0
    assert main([*flags, "--model", "digits:2", "--server", server.address, "--json", str(there)]) == 0
    assert found(here) == found(there)
    output = capsys.readouterr().out
    assert (
        "warning: digits was trained on all of digits, those images that are held out to test on among them" in output
    )


def test_a_generator_without_classes_is_refused(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["augment-eval", "--real", "digits", *FEW, "--bundle", str(models / "plain" / "1")]) == 2
    assert "plain: the generator draws no classes" in capsys.readouterr().err
