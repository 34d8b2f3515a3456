"""Runs bounded by `--minutes`, on a clock of which every step takes six seconds."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ganserve.contract.errors import ConfigError, DivergenceError
from ganserve.training import TrainingConfig, checkpoint, loop, resume_training, session, training_from_config
from ganserve.training.state import TrainingState

MakeConfig = Callable[..., TrainingConfig]


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count(0, 6)
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: next(seconds)))


def test_a_run_ends_when_its_minutes_are_over(make_config: MakeConfig) -> None:
    summary = training_from_config(
        make_config(steps=None, minutes=0.5, evaluate_every=2, evaluate_images=60, report_every=1)
    )
    assert (summary.progress, summary.is_complete) == ("5 steps in 0.50 of 0.5 minutes", True)
    assert summary.sample_grid.name == "step-000005.png"
    assert summary.sample_grid.is_file()
    lines = [json.loads(line) for line in (summary.run_dir / "evaluations.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 5]


def test_minutes_are_those_of_all_parts_together(make_config: MakeConfig) -> None:
    config = make_config(steps=None, minutes=0.5)
    training_from_config(config)
    saved = checkpoint.load(config.out / "checkpoints" / "last.safetensors").progress
    assert (saved.step, saved.trained_s) == (5, 30.0)
    with pytest.raises(ConfigError, match=r"--minutes 0.5: .* has done 5 steps in 0.50 of 0.5 minutes; give a larger"):
        resume_training(config.out)
    assert resume_training(config.out, minutes=0.8).steps == 8


def test_rates_fall_with_the_time(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    monkeypatch.setattr(loop, "set_lr", lambda _optimiser, lr: rates.append(lr))
    config = make_config(steps=None, minutes=0.4, lr_schedule="linear", generator_lr=1.0, discriminator_lr=1.0)
    training_from_config(config)
    assert rates[::2] == pytest.approx([1, 0.75, 0.5, 0.25])
    with pytest.raises(ConfigError, match=r"--minutes 1: the learning rates of .* fall until --minutes 0.4"):
        resume_training(config.out, minutes=1)


def test_time_spent_before_a_rollback_is_spent(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge_once(state: TrainingState, *arguments: Any, **keywords: Any) -> None:
        if state.lr_scale < 1:
            loop.train(state, *arguments, **keywords)
            return
        state.step, state.trained_s = 3, 18.0
        raise DivergenceError("step 3: not finite")

    monkeypatch.setattr(session, "train", diverge_once)
    assert training_from_config(make_config(steps=None, minutes=0.5)).steps == 2


@pytest.mark.parametrize(
    ("begun", "resumed", "text"),
    [
        ({"steps": None, "minutes": 0.1}, {"steps": 9, "minutes": None}, "--steps 9: .* is set by --minutes"),
        ({"steps": 1}, {"steps": None, "minutes": 1.5}, "--minutes 1.5: .* is set by --steps"),
        ({"steps": 1}, {"minutes": 1.5}, "--steps 1 bounds the run already"),
    ],
)
def test_a_runs_length_keeps_its_unit(
    make_config: MakeConfig, begun: dict[str, Any], resumed: dict[str, Any], text: str
) -> None:
    config = make_config(**begun)
    training_from_config(config)
    with pytest.raises(ConfigError, match=text):
        resume_training(config.out, **resumed)


def test_checkpoints_of_runs_bounded_by_steps_hold_no_time(tmp_path: Path, make_config: MakeConfig) -> None:
    training_from_config(make_config())
    assert checkpoint.load(tmp_path / "run" / "checkpoints" / "last.safetensors").progress.trained_s == 0
