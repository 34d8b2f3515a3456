"""From the name of a family to its networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from torch import nn

from ganserve.contract.errors import ConfigError
from ganserve.training.config import Architecture, Norm

from .dcgan import DcganDiscriminator, DcganGenerator
from .mlp import MlpDiscriminator, MlpGenerator
from .r3gan import R3ganDiscriminator, R3ganGenerator
from .resnet import ResnetDiscriminator, ResnetGenerator
from .shape import ImageShape
from .spectral import normalise_spectrally

_GENERATORS: Final[Mapping[Architecture, Callable[..., nn.Module]]] = {
    "mlp": MlpGenerator,
    "dcgan": DcganGenerator,
    "resnet": ResnetGenerator,
    "r3gan": R3ganGenerator,
}
_DISCRIMINATORS: Final[Mapping[Architecture, Callable[..., nn.Module]]] = {
    "mlp": MlpDiscriminator,
    "dcgan": DcganDiscriminator,
    "resnet": ResnetDiscriminator,
    "r3gan": R3ganDiscriminator,
}
_DISCRIMINATOR_NORMS: Final[Mapping[Architecture, tuple[Norm, ...]]] = {
    "mlp": ("none", "spectral"),
    "dcgan": ("none", "spectral", "batch"),
    "resnet": ("none", "spectral"),
    "r3gan": ("none",),
}
_SPECTRAL_GAINS: Final[Mapping[Architecture, float]] = {"mlp": 1, "dcgan": 48, "resnet": 1}
_SMALLEST_SIDE: Final[Mapping[Architecture, int]] = {"mlp": 1, "dcgan": 1, "resnet": 4, "r3gan": 4}


def build_generator(
    arch: Architecture, shape: ImageShape, *, latent_dim: int, num_classes: int, base_width: int
) -> nn.Module:
    """A generator with fresh weights; `num_classes` 0 makes it unconditional. Raises ConfigError: images too small."""
    _check_size(arch, shape)
    return _GENERATORS[arch](shape, latent_dim=latent_dim, num_classes=num_classes, base_width=base_width)


def build_discriminator(
    arch: Architecture, shape: ImageShape, *, num_classes: int, base_width: int, norm: Norm
) -> nn.Module:
    """A discriminator with fresh weights; `num_classes` 0 makes it unconditional.

    Raises ConfigError: images too small, or a norm that the family has no use for.
    """
    _check_size(arch, shape)
    if norm not in _DISCRIMINATOR_NORMS[arch]:
        raise ConfigError(
            f"--discriminator-norm is {norm!r}; the discriminator of {arch} takes "
            f"{' or '.join(_DISCRIMINATOR_NORMS[arch])}"
        )
    batch_norm = {"batch_norm": True} if norm == "batch" else {}
    discriminator = _DISCRIMINATORS[arch](shape, num_classes=num_classes, base_width=base_width, **batch_norm)
    if norm == "spectral":
        normalise_spectrally(discriminator, gain=_SPECTRAL_GAINS[arch])
    return discriminator


def _check_size(arch: Architecture, shape: ImageShape) -> None:
    smallest = _SMALLEST_SIDE[arch]
    if min(shape.height, shape.width) < smallest:
        raise ConfigError(
            f"--arch is {arch!r}, which needs images of {smallest} pixels a side or more, and these are "
            f"{shape.height}×{shape.width}; give larger images, or mlp or dcgan"
        )
