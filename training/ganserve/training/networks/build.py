"""From the name of a family to its networks."""

from __future__ import annotations

from torch import nn

from ganserve.training.config import Architecture, Norm

from .dcgan import DcganCritic, DcganGenerator
from .mlp import MlpCritic, MlpGenerator
from .shape import ImageShape

_INITIAL_STD = 0.02


def build_generator(
    arch: Architecture, shape: ImageShape, *, latent_dim: int, num_classes: int, base_width: int
) -> nn.Module:
    """A generator with fresh weights; `num_classes` 0 makes it unconditional."""
    family = MlpGenerator if arch == "mlp" else DcganGenerator
    generator: nn.Module = family(shape, latent_dim=latent_dim, num_classes=num_classes, base_width=base_width)
    return generator.apply(_initialise)


def build_critic(arch: Architecture, shape: ImageShape, *, num_classes: int, base_width: int, norm: Norm) -> nn.Module:
    """A critic with fresh weights; `num_classes` 0 makes it unconditional. `norm` is for the convolutional families."""
    critic: nn.Module
    if arch == "mlp":
        critic = MlpCritic(shape, num_classes=num_classes, base_width=base_width)
    else:
        critic = DcganCritic(shape, num_classes=num_classes, base_width=base_width, batch_norm=norm == "batch")
    return critic.apply(_initialise)


def _initialise(module: nn.Module) -> None:
    """Normal weights with standard deviation 0.02 in convolutions (Radford et al. 2015, section 4)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, std=_INITIAL_STD)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
