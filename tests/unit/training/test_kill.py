"""A run is killed, again and again, at moments of chance, and goes on as if nothing had happened."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ganserve.training import TrainingConfig, checkpoint, resume_training, training_from_config

from ...warm import start_python

NUM_KILLS = 4
CHILD = """
import sys
import torch
from ganserve.training import TrainingConfig, resume_training, training_from_config
torch.set_num_threads(1)
config = TrainingConfig.from_json(sys.argv[1], source="the command line")
if (config.out / "checkpoints" / "last.safetensors").is_file():
    resume_training(config.out)
else:
    training_from_config(config)
"""


def lines_of(stats: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in stats.read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "images_per_s"} for line in lines]


def kill_in_the_middle(config: TrainingConfig, chance: random.Random) -> None:
    """Goes on with the run in a process of its own, and kills that at some moment while it trains and saves."""
    saved = config.out / "checkpoints" / "last.safetensors"
    before = time_of(saved)
    with start_python("-c", CHILD, config.to_json()) as process:
        deadline_s = time.monotonic() + 60
        while time_of(saved) == before and process.poll() is None and time.monotonic() < deadline_s:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.3))


def time_of(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_run_killed_at_random_moments_ends_as_one_left_alone(
    tmp_path: Path, make_config: Callable[..., TrainingConfig]
) -> None:
    settings: dict[str, Any] = {
        "arch": "mlp",
        "steps": 300,
        "report_every": 10,
        "checkpoint_every": 7,
        "augment": "translation",
    }
    whole = make_config(**settings, out=tmp_path / "whole")
    killed = make_config(**settings, out=tmp_path / "killed")
    training_from_config(whole)
    chance = random.Random(0)  # noqa: S311 - moments, not secrets
    steps = []
    for _ in range(NUM_KILLS):
        kill_in_the_middle(killed, chance)
        steps.append(checkpoint.load(killed.out / "checkpoints" / "last.safetensors").step)
    assert steps == sorted(steps)
    if steps[-1] < settings["steps"]:
        resume_training(killed.out)
    ours, theirs = (checkpoint.load(config.out / "checkpoints" / "last.safetensors") for config in (killed, whole))
    assert ours.progress == theirs.progress
    assert all(torch.equal(tensor, theirs.tensors[name]) for name, tensor in ours.tensors.items())
    assert lines_of(killed.out / "stats.jsonl") == lines_of(whole.out / "stats.jsonl")
