"""A loss and a family of networks are each one file and one name: these tests add both."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
import torch

from ganserve.contract.errors import ConfigError
from ganserve.training import TrainingConfig, config, losses, networks, training_from_config
from ganserve.training.checkpoint import load_generator

MakeConfig = Callable[..., TrainingConfig]

LOSS = """
from ganserve.training.losses import Objective

OBJECTIVE = Objective(
    discriminator_loss=lambda real_logits, fake_logits: (real_logits - 1).abs().mean() + fake_logits.abs().mean(),
    generator_loss=lambda real_logits, fake_logits: (fake_logits - 1).abs().mean(),
    num_discriminator_steps=3,
    penalty_weight=0.5,
    refused_norms={"spectral": "least-absolute wants free logits; give none"},
)
"""
FAMILY = """
from torch import nn
from ganserve.training.networks import Family

class Generator(nn.Module):
    def __init__(self, shape, *, latent_dim, num_classes, base_width):
        super().__init__()
        self.layer = nn.Linear(latent_dim, shape.height * shape.width * shape.channels)
        self.shape = shape

    def forward(self, z, labels=None):
        return self.layer(z).tanh().view(-1, self.shape.channels, self.shape.height, self.shape.width)

class Discriminator(nn.Module):
    def __init__(self, shape, *, num_classes, base_width):
        super().__init__()
        self.layer = nn.Linear(shape.height * shape.width * shape.channels, 1)

    def forward(self, images, labels=None):
        return self.layer(images.flatten(1)).squeeze(1)

FAMILY = Family(generator=Generator, discriminator=Discriminator, norms=("spectral", "none"), smallest_side=2)
"""


@pytest.fixture(autouse=True)
def _additions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The two files, where the package looks for its own, and the two names."""
    for package, name, text in ((losses, "least_absolute", LOSS), (networks, "single_layer", FAMILY)):
        folder = tmp_path / package.__name__
        folder.mkdir()
        (folder / f"{name}.py").write_text(text)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    monkeypatch.setattr(config, "LossName", Literal[config.LossName, "least-absolute"])
    monkeypatch.setattr(config, "Architecture", Literal[config.Architecture, "single-layer"])
    yield
    for module in ("losses.least_absolute", "networks.single_layer"):
        sys.modules.pop(f"ganserve.training.{module}", None)


def test_a_new_loss_and_a_new_family_train_by_their_own_rules(make_config: MakeConfig) -> None:
    settings = make_config(arch="single-layer", loss="least-absolute", conditional=False)
    resolved = settings.resolved()
    assert (resolved.n_critic, resolved.r1_weight, resolved.r2_weight) == (3, 0.5, 0.5)
    assert resolved.discriminator_norm == "none"
    summary = training_from_config(settings)
    assert (summary.steps, summary.images_seen) == (2, 2 * 3 * 4)
    generator, card = load_generator(settings.out)
    assert (card.architecture, card.loss) == ("single-layer", "least-absolute")
    assert generator(torch.zeros(2, 8), None).shape == (2, 1, 8, 8)


def test_their_rules_are_kept(make_config: MakeConfig) -> None:
    with pytest.raises(ConfigError, match="'spectral'; least-absolute wants free logits; give none"):
        make_config(loss="least-absolute", discriminator_norm="spectral")
    with pytest.raises(ConfigError, match="the discriminator of single-layer takes spectral or none"):
        make_config(arch="single-layer", discriminator_norm="batch")
    assert make_config(arch="single-layer").resolved().discriminator_norm == "spectral"
