from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.training import TrainingConfig


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("data", ""),
        ("arch", "vgg"),
        ("discriminator_norm", "layer"),
        ("steps", 2.5),
        ("batch_size", True),
        ("generator_lr", "fast"),
        ("augment", 3),
        ("augment", "color,color"),
        ("augment", "color,"),
        ("steps", 0),
        ("minutes", 0.0),
        ("minutes", float("inf")),
        ("batch_size", 1),
        ("latent_dim", 0),
        ("latent_dim", 65_537),
        ("base_width", 0),
        ("n_critic", 0),
        ("penalty_every", 0),
        ("r1_weight", -1.0),
        ("r2_weight", float("inf")),
        ("clip_grad_norm", 0.0),
        ("augment", "translation,mirror"),
        ("augment", "color, cutout"),
        ("evaluate_every", -1),
        ("evaluate_images", 0),
        ("generator_lr", 0.0),
        ("discriminator_lr", float("nan")),
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


@pytest.mark.parametrize(
    ("loss", "num_discriminator_steps"),
    [("non-saturating", 1), ("hinge", 1), ("rpgan", 1), ("wgan", 5), ("wgan-gp", 5)],
)
def test_discriminator_steps_follow_the_loss(
    make_config: Callable[..., TrainingConfig], loss: str, num_discriminator_steps: int
) -> None:
    assert make_config(loss=loss).num_discriminator_steps == num_discriminator_steps
    assert make_config(loss=loss, n_critic=2).num_discriminator_steps == 2
    assert make_config(loss=loss).resolved().n_critic == num_discriminator_steps


@pytest.mark.parametrize(
    ("arch", "loss", "norm"),
    [
        ("mlp", "non-saturating", "none"),
        ("dcgan", "hinge", "spectral"),
        ("dcgan", "wgan", "batch"),
        ("dcgan", "wgan-gp", "none"),
        ("mlp", "rpgan", "none"),
        ("dcgan", "rpgan", "none"),
        ("resnet", "lsgan", "spectral"),
        ("resnet", "wgan", "none"),
        ("r3gan", "non-saturating", "none"),
    ],
)
def test_the_discriminators_norm_follows_family_and_loss(
    make_config: Callable[..., TrainingConfig], arch: str, loss: str, norm: str
) -> None:
    assert make_config(arch=arch, loss=loss).resolved().discriminator_norm == norm


@pytest.mark.parametrize(
    "change", [{"loss": "wgan-gp"}, {"loss": "rpgan"}, {"loss": "non-saturating", "r1_weight": 0.1}]
)
def test_a_gradient_penalty_excludes_batch_norm_in_the_discriminator(
    make_config: Callable[..., TrainingConfig], change: dict[str, Any]
) -> None:
    with pytest.raises(
        ConfigError, match="--discriminator-norm is 'batch'; a gradient penalty is a rule for each sample"
    ):
        make_config(discriminator_norm="batch", **change)
    without = {"r1_weight": 0.0, "r2_weight": 0.0}
    if change["loss"] != "wgan-gp":
        make_config(discriminator_norm="batch", **change | without)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"arch": "resnet", "discriminator_norm": "batch"}, "the discriminator of resnet takes spectral or none"),
        ({"arch": "r3gan", "discriminator_norm": "spectral"}, "the discriminator of r3gan takes none"),
        ({"loss": "wgan", "discriminator_norm": "spectral"}, "which spectral norm undoes"),
        ({"patience": 3}, "it counts evaluations; give --evaluate-every too"),
        ({"best_metric": "gan_test", "conditional": False, "evaluate_every": 10}, "it needs classes"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    make_config: Callable[..., TrainingConfig], settings: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        make_config(**settings)


def test_a_clipped_discriminator_with_r1_has_no_batch_norm(make_config: Callable[..., TrainingConfig]) -> None:
    assert make_config(loss="wgan", r1_weight=1.0).resolved().discriminator_norm == "none"


def test_penalties_of_the_relativistic_loss_are_on_unless_told() -> None:
    config = TrainingConfig(data="digits", out=Path("run"), loss="rpgan", r2_weight=0.0)
    assert config.penalty_weights == (1.0, 0.0)
    assert TrainingConfig(data="digits", out=Path("run")).penalty_weights == (0.0, 0.0)


def test_json_round_trip_gives_the_resolved_config(make_config: Callable[..., TrainingConfig]) -> None:
    config = make_config(loss="wgan", betas=(0.0, 0.9))
    assert TrainingConfig.from_json(config.to_json(), source="x") == config.resolved()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"data": "digits"}', '{"data": "digits", "out": 1, "betas": [0, 1]}'])
def test_json_that_is_no_config_is_refused(text: str) -> None:
    with pytest.raises(ArtifactError, match=r"^run/config\.json: not the settings of a run; restore that file"):
        TrainingConfig.from_json(text, source="run/config.json")


@pytest.mark.parametrize(
    ("change", "sign"),
    [
        ({"critic_norm": "none", "fit": "resize"}, "it sets critic_norm, fit"),
        ({"loss": "gan"}, "--loss is 'gan'"),
        ({"batch_size": 0}, "--batch-size is 0"),
    ],
)
def test_settings_of_another_version_are_refused_with_what_to_do(
    make_config: Callable[..., TrainingConfig], change: dict[str, Any], sign: str
) -> None:
    text = json.dumps(make_config().to_dict() | change)
    with pytest.raises(ArtifactError) as error:
        TrainingConfig.from_json(text, source="run/config.json")
    assert str(error.value).startswith(
        f"run/config.json: its settings are not those of this version of ganserve ({sign}"
    )
    assert str(error.value).endswith("with the version that began it, or train a new one")


def test_a_run_has_one_length(make_config: Callable[..., TrainingConfig]) -> None:
    with pytest.raises(ConfigError, match="--minutes is 3; --steps 2 bounds the run already; give one of both"):
        make_config(minutes=3)
    by_time, by_default = make_config(steps=None, minutes=0.5), make_config(steps=None)
    assert (by_time.resolved().steps, by_default.resolved().steps) == (None, 4_000)
    assert (by_time.share_done(10**6, 15.0), by_default.share_done(1_000, 10**6)) == (0.5, 0.25)
