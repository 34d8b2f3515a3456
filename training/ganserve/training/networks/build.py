"""From the name of a family to its networks."""

from __future__ import annotations

from importlib import import_module

from torch import nn

from ganserve.contract.errors import ConfigError
from ganserve.training.config import Architecture, Norm

from .discriminator import Discriminator
from .family import Family
from .shape import ImageShape
from .spectral import normalise_spectrally


def family_of(arch: Architecture) -> Family:
    """The networks of that name, and their rules."""
    family: Family = import_module(f"{__package__}.{arch.replace('-', '_')}").FAMILY
    return family


def build_generator(
    arch: Architecture, shape: ImageShape, *, latent_dim: int, num_classes: int, base_width: int
) -> nn.Module:
    """A generator with fresh weights; `num_classes` 0 makes it unconditional. Raises ConfigError: images too small."""
    family = family_of(arch)
    _check_size(arch, family, shape)
    return family.generator(shape, latent_dim=latent_dim, num_classes=num_classes, base_width=base_width)


def build_discriminator(
    arch: Architecture, shape: ImageShape, *, num_classes: int, base_width: int, norm: Norm
) -> Discriminator:
    """A discriminator with fresh weights; `num_classes` 0 makes it unconditional.

    Raises ConfigError: images too small, or a norm that the family does not take.
    """
    family = family_of(arch)
    _check_size(arch, family, shape)
    if norm not in family.norms:
        raise ConfigError(
            f"--discriminator-norm is {norm!r}; the discriminator of {arch} takes {' or '.join(family.norms)}"
        )
    batch_norm = {"batch_norm": True} if norm == "batch" else {}
    discriminator = family.discriminator(shape, num_classes=num_classes, base_width=base_width, **batch_norm)
    if norm == "spectral":
        normalise_spectrally(discriminator, gain=family.spectral_gain)
    return discriminator


def _check_size(arch: Architecture, family: Family, shape: ImageShape) -> None:
    if min(shape.height, shape.width) < family.smallest_side:
        raise ConfigError(
            f"--arch is {arch!r}, which needs images of {family.smallest_side} pixels a side or more, and these are "
            f"{shape.height}×{shape.width}; give larger images or another --arch"
        )
