"""Everything that a step of training changes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Adam

from ganserve.contract.errors import GanserveError
from ganserve.v1.model_pb2 import ModelCard

from .config import TrainingConfig
from .ema import averaged_copy
from .networks import ImageShape, build_critic, build_generator


@dataclass
class TrainingState:
    """Networks, optimisers, progress and the source of latents."""

    generator: nn.Module
    critic: nn.Module
    ema: nn.Module
    generator_optimiser: Adam
    critic_optimiser: Adam
    rng: torch.Generator
    """On the device; latents and all other random numbers of a step come from it."""

    latent_dim: int
    device: torch.device
    step: int = 0
    """Generator steps done."""

    images_seen: int = 0
    """Real images shown to the critic; also the position in `Batches`."""

    @classmethod
    def fresh(cls, config: TrainingConfig, card: ModelCard, device: torch.device) -> TrainingState:
        """The state before the first step. The weights depend on the seed alone, not on the device."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            generator = generator_for(config, card).to(device)
            critic = build_critic(
                config.arch,
                image_shape_of(card),
                num_classes=len(card.class_names),
                base_width=config.base_width,
                norm=config.critic_norm,
            ).to(device)
        return cls(
            generator=generator,
            critic=critic,
            ema=averaged_copy(generator),
            generator_optimiser=_adam(generator, config.generator_lr, config),
            critic_optimiser=_adam(critic, config.critic_lr, config),
            rng=torch.Generator(device).manual_seed(config.seed),
            latent_dim=config.latent_dim,
            device=device,
        )

    def check_finite(self) -> None:
        """Raises GanserveError where a weight is no longer finite, because nothing good comes after that."""
        for network in (self.generator, self.critic, self.ema):
            for tensor in network.state_dict().values():
                if not bool(torch.isfinite(tensor).all()):
                    raise GanserveError(
                        f"step {self.step}: the weights are no longer finite; the last checkpoint is untouched. "
                        "Try lower --generator-lr and --critic-lr, or another --loss"
                    )

    def draw_latents(self, num_latents: int) -> Tensor:
        """The next latents, float32 (num_latents, latent_dim), standard normal."""
        return torch.randn((num_latents, self.latent_dim), generator=self.rng, device=self.device)


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


def _adam(network: nn.Module, lr: float, config: TrainingConfig) -> Adam:
    return Adam(network.parameters(), lr=lr, betas=config.betas, fused=True)
