"""What a family of networks is made of: a generator, its discriminator, and the rules of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from ganserve.training.config import Norm

from .discriminator import Discriminator


@dataclass(frozen=True, kw_only=True)
class Family:
    """Two networks that belong together. `build` calls them with an `ImageShape` and keywords."""

    generator: Callable[..., nn.Module]
    """Takes `latent_dim`, `num_classes` and `base_width`."""

    discriminator: Callable[..., Discriminator]
    """Takes `num_classes` and `base_width`, and where `norms` has batch norm, `batch_norm`."""

    norms: tuple[Norm, ...]
    """Norms that the discriminator takes; the one that suits it best comes first."""

    spectral_gain: float = 1.0
    """Under spectral norm, what the logits are multiplied with; see `normalise_spectrally`."""

    smallest_side: int = 1
    """Pixels that an image must have a side."""
