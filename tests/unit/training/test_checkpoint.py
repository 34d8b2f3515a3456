from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.training import TrainingConfig, load_generator, resume_training, training_from_config
from ganserve.training import checkpoint as checkpoints

from ...warm import file_limit, run_command

MakeConfig = Callable[..., TrainingConfig]


@pytest.fixture
def trained(make_config: MakeConfig) -> Path:
    """Folder of a finished run of two steps."""
    return training_from_config(make_config()).run_dir


def last(run_dir: Path) -> Path:
    return run_dir / "checkpoints" / "last.safetensors"


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": "non-saturating", "arch": "mlp"},
        {"loss": "hinge", "discriminator_norm": "spectral", "augment": "color,translation,cutout", "mirror": True},
        {"loss": "lsgan", "discriminator_norm": "batch", "clip_grad_norm": 1.0},
        {"loss": "wgan", "n_critic": 2},
        {"loss": "wgan-gp", "n_critic": 2},
        {"loss": "rpgan", "arch": "r3gan", "penalty_every": 4},
        {"loss": "hinge", "arch": "resnet"},
    ],
)
def test_twenty_steps_equal_ten_and_ten_more(tmp_path: Path, make_config: MakeConfig, settings: dict[str, Any]) -> None:
    config = make_config(**settings, steps=20, out=tmp_path / "whole")
    training_from_config(config)
    training_from_config(dataclasses.replace(config, steps=10, out=tmp_path / "halves"))
    resume_training(tmp_path / "halves", steps=20)
    whole, halves = (checkpoints.load(last(tmp_path / name)) for name in ("whole", "halves"))
    assert whole.tensors.keys() == halves.tensors.keys()
    for name, tensor in whole.tensors.items():
        assert torch.equal(tensor, halves.tensors[name]), name
    assert whole.progress == halves.progress
    assert whole.card.images_seen == halves.card.images_seen == 20 * 4 * config.num_discriminator_steps


def test_load_generator_gives_the_average_ready_to_draw(trained: Path) -> None:
    generator, card = load_generator(trained)
    assert not generator.training
    assert (card.latent_dim, card.image.height, card.image.width, card.image.channels) == (8, 8, 8, 1)
    assert list(card.class_names) == list("0123456789")
    assert card.images_seen == 8
    z, labels = torch.randn(5, 8), torch.arange(5)
    images = generator(z, labels)
    assert images.shape == (5, 1, 8, 8)
    torch.testing.assert_close(images[:2], generator(z[:2], labels[:2]))
    saved = checkpoints.load(last(trained)).tensors
    assert all(torch.equal(tensor, saved[f"ema.{name}"]) for name, tensor in generator.state_dict().items())


def test_every_flipped_bit_is_noticed(trained: Path) -> None:
    good = last(trained).read_bytes()
    for position in range(8, len(good), len(good) // 40):
        data = bytearray(good)
        data[position] ^= 0x10
        last(trained).write_bytes(data)
        with pytest.raises(ArtifactError, match=r"last\.safetensors: (torn|altered|not a checkpoint)"):
            load_generator(trained)


@pytest.mark.parametrize("num_bytes", [0, 5, 100, -1])
def test_a_torn_file_is_noticed(trained: Path, num_bytes: int) -> None:
    last(trained).write_bytes(last(trained).read_bytes()[:num_bytes])
    with pytest.raises(ArtifactError, match="torn, or not a checkpoint"):
        load_generator(trained)


def test_a_foreign_safetensors_file_is_refused(trained: Path) -> None:
    safetensors.torch.save_file({"weight": torch.zeros(2)}, last(trained))
    with pytest.raises(ArtifactError, match="not a checkpoint of this ganserve"):
        load_generator(trained)


def test_missing_things_are_named(tmp_path: Path, trained: Path) -> None:
    with pytest.raises(ArtifactError, match="nowhere: there is no such run folder"):
        load_generator(tmp_path / "nowhere")
    with pytest.raises(ArtifactError, match=r"not the folder of a run, config\.json is missing"):
        load_generator(tmp_path)
    with pytest.raises(ArtifactError, match=r"best\.safetensors: there is no such checkpoint"):
        load_generator(trained, "best")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
def test_a_full_disk_is_one_line_and_leaves_the_old_checkpoint(trained: Path) -> None:
    before = last(trained).read_bytes()
    train = ["train", "--resume", str(trained), "--steps", "4"]
    done = run_command(train, 60, preexec_fn=file_limit(len(before) // 2))
    assert done.returncode == 3, done.stderr
    assert re.fullmatch(r"ganserve: error: .*last\.safetensors cannot be written: .*\n", done.stderr)
    assert last(trained).read_bytes() == before
    assert [path.name for path in last(trained).parent.iterdir()] == ["last.safetensors"]


def test_resume_needs_something_left_to_do(trained: Path) -> None:
    with pytest.raises(ConfigError, match=r"--steps 2: .* has done 2 of 2 steps; give a larger total"):
        resume_training(trained)
    with pytest.raises(ConfigError, match="--steps is 0"):
        resume_training(trained, steps=0)


def test_resume_refuses_other_settings_and_shows_them(trained: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"--loss is 'non-saturating', before 'hinge'; --batch-size is 8, before 4"
    ) as error:
        resume_training(trained, steps=4, loss="non-saturating", batch_size=8, report_every=1)
    assert "report" not in str(error.value)


def test_rates_that_fall_to_zero_at_the_end_have_one_end(make_config: MakeConfig) -> None:
    run_dir = training_from_config(make_config(lr_schedule="linear")).run_dir
    with pytest.raises(ConfigError, match="fall until --steps 2, and another total would make them jump"):
        resume_training(run_dir, steps=4)


def test_resume_refuses_other_data(tmp_path: Path, make_config: MakeConfig, write_image: Callable[..., None]) -> None:
    source = tmp_path / "images"
    write_image(source / "a" / "1.png", level=1)
    write_image(source / "b" / "1.png", level=1)
    training_from_config(make_config(data=str(source)))
    write_image(source / "a" / "1.png", level=2)
    with pytest.raises(ConfigError, match="holds other images or labels than the run began with"):
        resume_training(tmp_path / "run", steps=4)


def test_what_a_killed_process_left_half_written_is_cleared(trained: Path) -> None:
    partial = last(trained).with_name(".last.safetensors.0a1b2c3d.partial")
    partial.write_bytes(b"half a checkpoint")
    resume_training(trained, steps=3)
    assert not partial.exists()
