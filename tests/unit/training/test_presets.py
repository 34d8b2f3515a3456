from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ganserve.contract.errors import ConfigError
from ganserve.training import TrainingConfig
from ganserve.training.datasets import ImageDataset
from ganserve.training.presets import DEFAULT_PRESET, preset_names, preset_path, read_settings
from ganserve.training.presets.suggestion import suggest_preset


def resolve(preset: str) -> TrainingConfig:
    settings = {"data": "digits", "out": Path("run"), **read_settings(preset_path(preset))}
    if "betas" in settings:
        settings["betas"] = tuple(settings["betas"])
    return TrainingConfig(**settings)


def test_the_presets_are_those_that_the_help_names() -> None:
    assert set(preset_names()) == {
        "dcgan",
        "digits",
        "hinge-resnet",
        "lsgan",
        "mlp",
        "r3gan",
        "sndcgan",
        "wgan-clip",
        "wgan-gp",
    }


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_is_a_config_and_names_its_source(preset: str) -> None:
    resolve(preset)
    assert preset_path(preset).read_text(encoding="utf-8").startswith("# ")


def test_the_default_preset_is_the_configs_defaults() -> None:
    assert resolve(DEFAULT_PRESET).resolved() == TrainingConfig(data="digits", out=Path("run")).resolved()


@pytest.mark.parametrize(
    ("size", "channels", "settings", "is_suggested"),
    [
        (32, 3, {}, True),
        (32, 1, {}, False),
        (8, 3, {}, False),
        (32, 3, {"arch": "resnet"}, False),
        (32, 3, {"loss": "rpgan"}, False),
    ],
)
def test_photographs_are_pointed_to_the_preset_that_draws_them(
    make_config: Callable[..., TrainingConfig],
    make_dataset: Callable[..., ImageDataset],
    size: int,
    channels: int,
    settings: dict[str, Any],
    is_suggested: bool,
) -> None:
    suggestion = suggest_preset(make_config(**settings), make_dataset(size, size, channels))
    assert bool(suggestion) == is_suggested
    if is_suggested:
        assert suggestion.startswith(
            "hint: these are 10 colour images of 32×32 in 3 classes; if they are photographs, "
        )
        assert "--preset hinge-resnet --augment translation" in suggestion


def test_a_file_of_ones_own_is_a_preset_too(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('arch = "mlp"\nsteps = 7\n')
    assert read_settings(preset_path(str(path))) == {"arch": "mlp", "steps": 7}
    path.write_text("arch = mlp")
    with pytest.raises(ConfigError, match=r"mine\.toml: cannot be read as settings"):
        read_settings(path)
    with pytest.raises(ConfigError, match="--preset sngan: there is no such preset or file; give one of dcgan, digits"):
        preset_path("sngan")
