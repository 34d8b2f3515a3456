"""What was found wrong with a generator is told wherever somebody might take it for good."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cyclopts
import numpy as np
import pytest

from ganserve.contract.errors import ConfigError
from ganserve.training import TrainingConfig, checkpoint, training_from_config
from ganserve.training.balance import balance_hint
from ganserve.training.cli.data import inspect
from ganserve.training.cli.train import app as train_app
from ganserve.training.rundir import RunDir

MakeConfig = Callable[..., TrainingConfig]
EVALUATING = {"evaluate_every": 2, "evaluate_images": 40}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANSERVE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def uneven(tmp_path: Path) -> Path:
    """Three classes, of 150, 40 and 10 images."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), [150, 40, 10])
    images = rng.integers(0, 60, (200, 8, 8, 1), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[3 * label : 3 * label + 2] += np.uint8(180)
    np.savez(tmp_path / "uneven.npz", x_train=images, y_train=labels)
    return tmp_path / "uneven.npz"


def command(out: Path, *arguments: object) -> None:
    flags = ("--batch-size", 4, "--latent-dim", 8, "--base-width", 4, "--device", "cpu", "--steps", 4, "--out", out)
    app = cyclopts.App(result_action="return_value", exit_on_error=False, print_error=False)
    app.command(train_app)
    app(["train", *map(str, (*flags, *arguments))])


def flags_of(settings: dict[str, Any]) -> Iterator[object]:
    for name, value in settings.items():
        yield from (f"--{name.replace('_', '-')}", value)


def test_the_checkpoint_that_an_export_takes_and_the_summary_hold_the_same_warnings(
    make_config: MakeConfig, uneven: Path
) -> None:
    summary = training_from_config(make_config(data=str(uneven), steps=4, **EVALUATING))
    card = checkpoint.load_chosen(summary.run_dir).card
    assert tuple(card.warnings) == summary.warnings
    assert any("samples are not of the class asked for" in warning for warning in card.warnings)
    assert {"fid_domain", "gan_test_balanced", "gan_test_largest", "judge_accuracy"} <= set(card.metrics)


def test_the_last_checkpoint_tells_of_its_own_evaluation_too(make_config: MakeConfig, uneven: Path) -> None:
    run = RunDir(training_from_config(make_config(data=str(uneven), steps=5, **EVALUATING)).run_dir)
    last = checkpoint.load(run.checkpoint("last")).card
    *_, line = run.evaluations.read_text().splitlines()
    assert last.metrics["fid_domain"] == json.loads(line)["fid_domain"]
    assert last.warnings


def test_the_command_ends_with_what_is_wrong(uneven: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command(tmp_path / "run", "--data", uneven, *flags_of(EVALUATING))
    *_, warning, following = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("samples")]
    assert warning.startswith("warning  ")
    assert following.startswith("next     ganserve export")


def test_uneven_classes_are_pointed_to_the_flag(
    uneven: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command(tmp_path / "run", "--data", uneven, "--evaluate-every", 0)
    assert "the largest class has 15 times as many images as the smallest; --balance-classes" in capsys.readouterr().out
    command(tmp_path / "balanced", "--data", uneven, "--evaluate-every", 0, "--balance-classes")
    assert "--balance-classes" not in capsys.readouterr().out


def test_an_inspection_points_to_the_flag_too(uneven: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect(str(uneven)) is None
    assert "the largest class has 15 times" in capsys.readouterr().out
    assert inspect("digits") is None
    assert "the largest class" not in capsys.readouterr().out


def test_balanced_classes_are_judged_as_they_are_shown(make_config: MakeConfig, uneven: Path) -> None:
    summary = training_from_config(make_config(data=str(uneven), steps=2, balance_classes=True, **EVALUATING))
    metrics = checkpoint.load_chosen(summary.run_dir).card.metrics
    assert metrics["gan_test_largest"] == pytest.approx(1 / 3)
    assert metrics["gan_test"] == pytest.approx(metrics["gan_test_balanced"])
    assert not any("--balance-classes" in warning for warning in summary.warnings)


def test_classes_that_are_not_there_cannot_be_balanced(make_config: MakeConfig, tmp_path: Path) -> None:
    np.savez(tmp_path / "plain.npz", x_train=np.zeros((8, 8, 8, 1), np.uint8))
    with pytest.raises(ConfigError, match="--balance-classes: plain has no two classes; leave it out"):
        training_from_config(make_config(data=str(tmp_path / "plain.npz"), conditional=False, balance_classes=True))


@pytest.mark.parametrize(
    ("sizes", "times"), [([1500, 400, 100], "15 "), ([300, 100, 0], "3 "), ([299, 100], ""), ([], "")]
)
def test_the_hint_counts_classes_that_have_images(sizes: list[int], times: str) -> None:
    hint = balance_hint(sizes)
    assert times in hint
    assert bool(hint) == bool(times)
