"""Fully connected networks, for small images and for quick tries. Weights begin as PyTorch has them."""

from __future__ import annotations

import itertools
import math

from torch import Tensor, nn

from .conditioning import LatentInput, ProjectionHead
from .discriminator import Discriminator
from .family import Family
from .shape import ImageShape

_HIDDEN_FACTORS = (4, 8)
_LEAK = 0.2


class MlpGenerator(nn.Module):
    """Latent to image by hidden layers of 4 and 8 times `base_width` with batch norm and ReLU."""

    def __init__(self, shape: ImageShape, *, latent_dim: int, num_classes: int, base_width: int) -> None:
        super().__init__()
        self.latent = LatentInput(latent_dim, num_classes)
        widths = [self.latent.num_features, *(factor * base_width for factor in _HIDDEN_FACTORS)]
        layers: list[nn.Module] = []
        for width_in, width_out in itertools.pairwise(widths):
            layers += [nn.Linear(width_in, width_out, bias=False), nn.BatchNorm1d(width_out), nn.ReLU()]
        image_shape = (shape.channels, shape.height, shape.width)
        layers += [nn.Linear(widths[-1], math.prod(image_shape)), nn.Tanh(), nn.Unflatten(1, image_shape)]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """z: (N, latent_dim), labels: (N,) or None -> images (N, C, H, W) in [-1, 1]."""
        images: Tensor = self.layers(self.latent(z, labels))
        return images


class MlpDiscriminator(Discriminator):
    """Image to logit by hidden layers of 8 and 4 times `base_width` with LeakyReLU and no norm, which none needs."""

    def __init__(self, shape: ImageShape, *, num_classes: int, base_width: int) -> None:
        super().__init__()
        widths = [math.prod(shape), *(factor * base_width for factor in reversed(_HIDDEN_FACTORS))]
        layers: list[nn.Module] = [nn.Flatten()]
        for width_in, width_out in itertools.pairwise(widths):
            layers += [nn.Linear(width_in, width_out), nn.LeakyReLU(_LEAK)]
        self.layers = nn.Sequential(*layers)
        self.head = ProjectionHead(widths[-1], num_classes)

    def features(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers(images)
        return features


FAMILY = Family(
    generator=MlpGenerator,
    discriminator=MlpDiscriminator,
    norms=("none", "spectral"),
)
