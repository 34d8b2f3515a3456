from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from google.protobuf import json_format
from PIL import Image

from ganserve.contract.card import LATENT_SCHEME
from ganserve.contract.errors import ConfigError, GanserveError
from ganserve.training import TrainingConfig, load_generator, resume_training, training_from_config

MakeConfig = Callable[..., TrainingConfig]


def steps_in(stats: Path) -> list[int]:
    return [json.loads(line)["step"] for line in stats.read_text().splitlines()]


def test_a_run_leaves_what_it_promises(make_config: MakeConfig) -> None:
    summary = training_from_config(make_config(steps=5, sample_every=2, checkpoint_every=3))
    assert (summary.steps, summary.num_steps, summary.images_seen) == (5, 5, 20)
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
    with pytest.raises(ConfigError, match=f"go on with its run: --resume {run_dir}"):
        training_from_config(make_config())


def test_classes_are_needed_for_conditional_training(tmp_path: Path, make_config: MakeConfig) -> None:
    header = bytes((0, 0, 8, 3)) + b"".join(side.to_bytes(4, "big") for side in (4, 8, 8))
    (tmp_path / "train-images-idx3-ubyte").write_bytes(header + bytes(4 * 8 * 8))
    with pytest.raises(ConfigError, match="has no classes; say --no-conditional"):
        training_from_config(make_config(data=str(tmp_path)))
    assert not (tmp_path / "run").exists()


def test_losses_that_are_not_finite_stop_the_run(make_config: MakeConfig) -> None:
    config = make_config(loss="wgan-gp", n_critic=1, steps=40, critic_lr=1e30, generator_lr=1e30)
    with pytest.raises(GanserveError, match="the losses are no longer finite"):
        training_from_config(config)
