"""Which checkpoint of a run an export takes, what it says of it, and what it refuses."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ganserve.cli import main
from ganserve.contract.errors import ArtifactError
from ganserve.exporter import Target, export_run
from ganserve.exporter.checkpoint_choice import choose
from ganserve.training import TrainingConfig, training_from_config
from ganserve.training.checkpoint import Checkpoint, load, save
from ganserve.training.state import Best, TrainingState


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps, without an evaluation."""
    folder = tmp_path_factory.mktemp("runs") / "My Digits"
    training_from_config(
        TrainingConfig(data="digits", out=folder, arch="mlp", base_width=4, steps=2, batch_size=8, evaluate_every=0)
    )
    return folder


def save_again(run: Path, name: str, change: Callable[[TrainingState], None], images_seen: int | None = None) -> Path:
    """Saves the run's last checkpoint under another name, with something changed."""
    saved = load(run / "checkpoints" / "last.safetensors")
    state = TrainingState.fresh(saved.config, saved.card, torch.device("cpu"))
    saved.restore(state)
    change(state)
    state.images_seen = saved.card.images_seen if images_seen is None else images_seen
    path = run / "checkpoints" / f"{name}.safetensors"
    save(path, state, saved.config, saved.card)
    return path


@pytest.fixture
def evaluated(run: Path, tmp_path: Path) -> Path:
    """The same run, had its first step been judged the best."""

    def is_best(state: TrainingState) -> None:
        state.step, state.best = 1, Best(value=12.345678, step=1)

    def had_a_better_one(state: TrainingState) -> None:
        state.best = Best(value=12.345678, step=1, num_since=1)

    copy = tmp_path / "evaluated"
    shutil.copytree(run, copy)
    save_again(copy, "best", is_best)
    save_again(copy, "last", had_a_better_one)
    return copy


def test_without_an_evaluation_it_is_the_last(run: Path) -> None:
    checkpoint, why = choose(run, None)
    assert isinstance(checkpoint, Checkpoint)
    assert why == f"{run / 'checkpoints' / 'last.safetensors'}, step 2; no evaluation has chosen a best one"


def test_with_one_it_is_the_best_by_its_metric(evaluated: Path) -> None:
    assert choose(evaluated, None)[1] == (
        f"{evaluated / 'checkpoints' / 'best.safetensors'}, step 1, the best by fid_domain: 12.35"
    )


@pytest.mark.parametrize("by_file", [True, False])
def test_another_one_that_is_asked_for_tells_which_was_the_best(evaluated: Path, by_file: bool) -> None:
    last = evaluated / "checkpoints" / "last.safetensors"
    assert choose(evaluated, last if by_file else "last")[1] == (
        f"{last}, step 2; by fid_domain step 1 was the best: 12.35"
    )


def test_the_result_and_the_command_say_so(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = export_run(run, Target(models=tmp_path, name="digits"))
    assert result.checkpoint == choose(run, None)[1]
    assert f"digits:1@{result.digest[:12]} in {result.folder}" in repr(result)
    assert result.checkpoint in repr(result)
    assert main(["export", str(run), "--onnx", "--models", str(tmp_path)]) == 0
    assert f"checkpoint: {result.checkpoint}\n" in capsys.readouterr().out


def test_a_run_folder_of_any_name_gives_the_model_a_usable_one(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(run), "--onnx", "--models", str(tmp_path)]) == 0
    assert f"{tmp_path / 'my-digits' / '1'}, " in capsys.readouterr().out
    nameless = tmp_path / "写真"
    shutil.copytree(run, nameless)
    assert main(["export", str(nameless), "--onnx", "--models", str(tmp_path)]) == 2
    assert "'写真' is no model name: give --name 1 to 64 of a-z" in capsys.readouterr().err


def test_an_untrained_generator_is_refused(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "begun"
    shutil.copytree(run, copy)
    path = save_again(copy, "last", lambda _: None, images_seen=0)
    for asked in (None, "last", path):
        with pytest.raises(ArtifactError, match="its generator is untrained; train it with: ganserve train --resume"):
            export_run(copy, Target(models=tmp_path / "models", name="digits"), checkpoint=asked)
    assert not (tmp_path / "models").exists()
