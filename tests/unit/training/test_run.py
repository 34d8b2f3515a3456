from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from google.protobuf import json_format
from PIL import Image

from ganserve.contract.card import LATENT_SCHEME
from ganserve.contract.errors import ConfigError, DatasetError, DivergenceError
from ganserve.training import (
    TrainingConfig,
    checkpoint,
    load_generator,
    loop,
    resume_training,
    session,
    training_from_config,
)
from ganserve.training.state import TrainingState

MakeConfig = Callable[..., TrainingConfig]


def steps_in(stats: Path) -> list[int]:
    return [json.loads(line)["step"] for line in stats.read_text().splitlines()]


def test_a_run_leaves_what_it_promises(make_config: MakeConfig) -> None:
    summary = training_from_config(make_config(steps=5, sample_every=2, checkpoint_every=3))
    assert (summary.steps, summary.progress, summary.images_seen) == (5, "5 of 5 steps", 20)
    assert summary.is_complete
    assert summary.images_per_s > 0
    assert summary.stopped_by is None
    assert summary.sample_grid.name == "step-000005.png"
    assert sorted(path.name for path in summary.sample_grid.parent.iterdir()) == [
        "step-000002.png",
        "step-000004.png",
        "step-000005.png",
    ]
    assert steps_in(summary.run_dir / "stats.jsonl") == [2, 3, 4, 5]
    assert list((summary.run_dir / "tensorboard").iterdir())
    with Image.open(summary.sample_grid) as grid:
        assert grid.width > grid.height


def test_stats_go_on_without_gap_or_repeat(make_config: MakeConfig) -> None:
    run_dir = training_from_config(make_config(steps=4)).run_dir
    with (run_dir / "stats.jsonl").open("a") as stats:
        stats.write('{"step": 6}\n{"ste')
    resume_training(run_dir, steps=8)
    assert steps_in(run_dir / "stats.jsonl") == [2, 4, 6, 8]


def test_the_card_describes_the_run_and_not_the_machine(tmp_path: Path, make_config: MakeConfig) -> None:
    training_from_config(make_config(loss="wgan", steps=1))
    _, card = load_generator(tmp_path / "run")
    assert (card.architecture, card.loss, card.latent_scheme) == ("dcgan", "wgan", LATENT_SCHEME)
    assert (card.dataset.name, card.dataset.num_images, len(card.dataset.digest)) == ("digits", 1797, 64)
    assert set(card.versions) == {"ganserve", "numpy", "torch"}
    assert card.training_config["n_critic"] == 5
    assert str(tmp_path) not in json_format.MessageToJson(card)


def test_an_unconditional_card_has_no_classes(tmp_path: Path, make_config: MakeConfig) -> None:
    training_from_config(make_config(conditional=False, steps=1))
    generator, card = load_generator(tmp_path / "run")
    assert list(card.class_names) == []
    assert generator(torch.zeros(2, 8), None).shape == (2, 1, 8, 8)


def test_a_full_folder_is_refused_and_left_alone(tmp_path: Path, make_config: MakeConfig) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match=r"that folder is not empty; give a new one$"):
        training_from_config(make_config())
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"]


def test_a_folder_with_a_run_names_resume(make_config: MakeConfig) -> None:
    run_dir = training_from_config(make_config()).run_dir
    with pytest.raises(ConfigError, match=f"continue its run: ganserve train --resume {run_dir}"):
        training_from_config(make_config())


def test_classes_are_needed_for_conditional_training(tmp_path: Path, make_config: MakeConfig) -> None:
    header = bytes((0, 0, 8, 3)) + b"".join(side.to_bytes(4, "big") for side in (4, 8, 8))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train-images-idx3-ubyte").write_bytes(header + bytes(4 * 8 * 8))
    with pytest.raises(ConfigError, match=r"has no classes; put .*labels\.csv.*, say --no-conditional"):
        training_from_config(make_config(data=str(tmp_path / "data")))
    assert not (tmp_path / "run").exists()


def test_a_run_that_cannot_be_kept_finite_ends_with_what_was_tried(make_config: MakeConfig) -> None:
    config = make_config(loss="wgan-gp", n_critic=1, steps=40, discriminator_lr=1e30, generator_lr=1e30)
    with pytest.raises(DivergenceError, match="half the learning rates did not help 3 times; that checkpoint is in"):
        training_from_config(config)
    saved = checkpoint.load(config.out / "checkpoints" / "last.safetensors").progress
    assert (saved.num_rollbacks, saved.lr_scale) == (3, 1 / 8)


def test_a_run_that_diverges_goes_on_from_the_last_good_state_at_half_the_rate(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []

    def train_badly_at_first(state: TrainingState, *arguments: Any, **keywords: Any) -> None:
        def poison(_discriminator: object, _images: object, logits: torch.Tensor) -> torch.Tensor:
            return logits * float("nan") if state.step >= 5 and state.lr_scale == 1 else logits

        rates.append(state.lr_scale)
        with_poison = state.discriminator.register_forward_hook(poison)
        loop.train(state, *arguments, **keywords)
        with_poison.remove()

    monkeypatch.setattr(session, "train", train_badly_at_first)
    summary = training_from_config(make_config(steps=8, checkpoint_every=4))
    assert (summary.steps, summary.lr_scale, rates) == (8, 0.5, [1.0, 0.5])
    assert steps_in(summary.run_dir / "stats.jsonl") == [2, 4, 6, 8]
    saved = checkpoint.load(summary.run_dir / "checkpoints" / "last.safetensors").progress
    assert (saved.num_rollbacks, saved.lr_scale) == (0, 0.5)


def test_a_run_can_be_gone_on_with_from_its_first_moment(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    config = make_config(steps=3)
    with monkeypatch.context() as patch:
        patch.setattr(session, "train", die)
        with pytest.raises(KeyboardInterrupt):
            training_from_config(config)
    assert resume_training(config.out).steps == 3


def test_a_new_total_is_kept_whatever_ends_the_run(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    config = make_config(steps=2)
    training_from_config(config)
    with monkeypatch.context() as patch:
        patch.setattr(session, "train", die)
        with pytest.raises(KeyboardInterrupt):
            resume_training(config.out, steps=4)
    assert resume_training(config.out).steps == 4


def test_a_run_goes_on_from_another_working_directory(
    tmp_path: Path, make_config: MakeConfig, write_image: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cat", "dog"):
        write_image(tmp_path / "pets" / name / "0.png", size=(8, 8))
    monkeypatch.chdir(tmp_path)
    config = make_config(data="pets")
    training_from_config(config)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert resume_training(config.out, steps=3).steps == 3
    (tmp_path / "pets").rename(tmp_path / "moved")
    with pytest.raises(DatasetError, match=r"its images are needed, and .*pets: there is no such"):
        resume_training(config.out, steps=4)


def test_weights_that_are_not_finite_are_never_saved(make_config: MakeConfig) -> None:
    config = make_config(steps=1, generator_lr=1e37)
    with pytest.raises(DivergenceError, match="step 1: the weights are no longer finite"):
        training_from_config(config)
    generator, card = load_generator(config.out)
    assert card.images_seen == 0
    assert all(bool(torch.isfinite(tensor).all()) for tensor in generator.state_dict().values())


def test_foreign_lines_among_the_figures_are_dropped(make_config: MakeConfig) -> None:
    config = make_config(steps=2)
    summary = training_from_config(config)
    stats = summary.run_dir / "stats.jsonl"
    stats.write_text("\nnot json\n[1]\n" + stats.read_text() + '{"step": 2')
    resume_training(config.out, steps=4)
    assert steps_in(stats) == [2, 4]


def test_evaluations_choose_the_best_checkpoint_and_end_patience(make_config: MakeConfig) -> None:
    summary = training_from_config(
        make_config(steps=40, evaluate_every=2, evaluate_images=60, best_metric="precision", patience=1)
    )
    assert summary.best is not None
    assert summary.steps == summary.best.step + 2 < 40
    lines = [json.loads(line) for line in (summary.run_dir / "evaluations.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(2, summary.steps + 1, 2))
    best = next(line for line in lines if line["step"] == summary.best.step)
    assert best["precision"] == summary.best.value
    _, card = load_generator(summary.run_dir, "best")
    assert card.images_seen == 4 * summary.best.step
    assert card.metrics["fid_domain"] == best["fid_domain"]
    with pytest.raises(ConfigError, match="has done"):
        resume_training(summary.run_dir, steps=summary.steps)


def test_evaluating_changes_nothing_of_the_training(make_config: MakeConfig, tmp_path: Path) -> None:
    tensors = []
    for evaluate_every in (0, 2):
        out = tmp_path / str(evaluate_every)
        training_from_config(make_config(steps=5, evaluate_every=evaluate_every, evaluate_images=60, out=out))
        tensors.append(checkpoint.load(out / "checkpoints" / "last.safetensors").tensors)
    assert all(torch.equal(tensor, tensors[1][name]) for name, tensor in tensors[0].items())
