from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.training import TrainingConfig


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("data", ""),
        ("steps", 0),
        ("batch_size", 1),
        ("latent_dim", 0),
        ("latent_dim", 65_537),
        ("base_width", 0),
        ("n_critic", 0),
        ("generator_lr", 0.0),
        ("critic_lr", float("nan")),
        ("betas", (0.5, 1.0)),
        ("clip_value", -0.01),
        ("gp_weight", float("inf")),
        ("ema_half_life_images", 0.0),
        ("ema_rampup", -1.0),
        ("seed", -1),
        ("report_every", 0),
        ("sample_every", 0),
        ("checkpoint_every", 0),
    ],
)
def test_bad_value_is_refused_with_flag_value_and_cure(
    make_config: Callable[..., TrainingConfig], name: str, value: Any
) -> None:
    with pytest.raises(ConfigError) as error:
        make_config(**{name: value})
    text = str(error.value)
    assert text.startswith(f"--{name.replace('_', '-')} is {value!r}; ")
    assert len(text.split("; ", 1)[1]) > len("give ")


@pytest.mark.parametrize(("loss", "num_critic_steps"), [("gan", 1), ("wgan", 5), ("wgan-gp", 5)])
def test_critic_steps_follow_the_loss(
    make_config: Callable[..., TrainingConfig], loss: str, num_critic_steps: int
) -> None:
    assert make_config(loss=loss).num_critic_steps == num_critic_steps
    assert make_config(loss=loss, n_critic=2).num_critic_steps == 2
    assert make_config(loss=loss).resolved().n_critic == num_critic_steps


def test_a_gradient_penalty_excludes_batch_norm_in_the_critic(make_config: Callable[..., TrainingConfig]) -> None:
    assert make_config(loss="wgan-gp").critic_norm == "none"
    assert make_config(loss="gan").critic_norm == "batch"


def test_json_round_trip_gives_the_resolved_config(make_config: Callable[..., TrainingConfig]) -> None:
    config = make_config(loss="wgan", betas=(0.0, 0.9))
    assert TrainingConfig.from_json(config.to_json(), source="x") == config.resolved()


@pytest.mark.parametrize("change", [{"unknown": 1}, {"batch_size": 0}, {"betas": 3}])
def test_json_that_is_no_config_is_refused(make_config: Callable[..., TrainingConfig], change: dict[str, Any]) -> None:
    text = json.dumps(make_config().to_dict() | change)
    with pytest.raises(ArtifactError, match=r"^run/config\.json: the training config cannot be read"):
        TrainingConfig.from_json(text, source="run/config.json")
