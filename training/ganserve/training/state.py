"""Everything that a step of training changes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Adam

from ganserve.contract.errors import DivergenceError
from ganserve.v1.model_pb2 import ModelCard

from .config import TrainingConfig
from .draws import Draws, seed_for
from .ema import averaged_copy
from .networks import Discriminator, ImageShape, build_discriminator, build_generator
from .optimisation import adam
from .ranks import ALONE, Ranks


@dataclass
class Best:
    """The best evaluation so far."""

    value: float
    step: int
    judge: str = ""
    """Digest of the feature extractor that judged. Another one's values cannot be compared with it."""
    num_since: int = 0
    """Evaluations of later steps, none of them better. Steps that are repeated after a rollback do not count."""


@dataclass
class TrainingState:
    """Networks, optimisers, random numbers and progress."""

    generator: nn.Module
    discriminator: nn.Module
    ema: nn.Module
    generator_optimiser: Adam
    discriminator_optimiser: Adam
    draws: Draws
    device: torch.device
    num_skipped: Tensor
    """Optimiser steps not taken because loss or gradient was not finite, a float scalar on the device."""

    step: int = 0
    """Generator steps done."""

    images_seen: int = 0
    """Real images shown to the discriminator; also the position in `Batches`."""

    trained_s: float = 0.0
    """Seconds since the first step, evaluations included; counted only where `minutes` bound the run."""

    lr_scale: float = 1.0
    """Both learning rates are multiplied with it; halved whenever the run is rolled back."""

    num_rollbacks: int = 0
    """How often in a row, with no new checkpoint in between, the run was rolled back to one."""

    best: Best | None = None
    """None before the first evaluation."""

    @classmethod
    def fresh(
        cls, config: TrainingConfig, card: ModelCard, device: torch.device, ranks: Ranks = ALONE
    ) -> TrainingState:
        """The state before the first step. The weights depend on the seed alone, not on the device."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for("weights", config.seed))
            generator = _place(generator_for(config, card), device)
            discriminator = _place(discriminator_for(config, card), device)
        return cls(
            generator=generator,
            discriminator=discriminator,
            ema=averaged_copy(generator),
            generator_optimiser=adam(generator, config.generator_lr, config.betas),
            discriminator_optimiser=adam(discriminator, config.discriminator_lr, config.betas),
            draws=Draws(device, seed_for("steps", config.seed), rank=ranks.rank, num_ranks=ranks.num_ranks),
            device=device,
            num_skipped=torch.zeros((), device=device),
        )

    def share_done(self, config: TrainingConfig) -> float:
        """How much of the run is done: 1 or more at its end."""
        return config.share_done(self.step, self.trained_s)

    def check_finite(self) -> None:
        """Raises DivergenceError where a weight is no longer finite, because nothing good comes after that."""
        for network in (self.generator, self.discriminator, self.ema):
            for tensor in network.state_dict().values():
                if not bool(torch.isfinite(tensor).all()):
                    raise DivergenceError(f"step {self.step}: the weights are no longer finite")


def discriminator_for(config: TrainingConfig, card: ModelCard) -> Discriminator:
    """The discriminator beside such a generator, with fresh weights, on the CPU."""
    return build_discriminator(
        config.arch,
        image_shape_of(card),
        num_classes=len(card.class_names),
        base_width=config.base_width,
        norm=config.resolved_discriminator_norm,
    )


def generator_for(config: TrainingConfig, card: ModelCard) -> nn.Module:
    """A generator of the shape that config and card describe, with fresh weights, on the CPU."""
    return build_generator(
        config.arch,
        image_shape_of(card),
        latent_dim=card.latent_dim,
        num_classes=len(card.class_names),
        base_width=config.base_width,
    )


def image_shape_of(card: ModelCard) -> ImageShape:
    """Shape of the images that the card's generator makes."""
    return ImageShape(card.image.height, card.image.width, card.image.channels)


def _place(network: nn.Module, device: torch.device) -> nn.Module:
    """Moves a network to its device, channels last, which convolutions are faster with."""
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[no-any-return, call-overload]
