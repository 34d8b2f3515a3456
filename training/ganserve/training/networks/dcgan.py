"""DCGAN (Radford et al. 2015): strided convolutions, batch norm, no pooling; here for any image size."""

from __future__ import annotations

import itertools

from torch import Tensor, nn

from .conditioning import LatentInput, ProjectionHead
from .discriminator import Discriminator
from .family import Family
from .shape import ImageShape, halvings, level_widths, stride_two_kernel

_LEAK = 0.2
_INITIAL_STD = 0.02


class DcganGenerator(nn.Module):
    """Latent to image by transposed convolutions, each doubling the size, batch norm and ReLU between them."""

    def __init__(self, shape: ImageShape, *, latent_dim: int, num_classes: int, base_width: int) -> None:
        super().__init__()
        sizes = halvings(shape)
        widths = level_widths(base_width, len(sizes))
        self.latent = LatentInput(latent_dim, num_classes)
        self.dense = nn.Linear(self.latent.num_features, widths[-1] * sizes[-1].num_pixels, bias=False)
        layers: list[nn.Module] = [
            nn.Unflatten(1, (widths[-1], *sizes[-1])),
            nn.BatchNorm2d(widths[-1]),
            nn.ReLU(inplace=True),
        ]
        for level in reversed(range(len(sizes) - 1)):
            kernel = stride_two_kernel(sizes[level])
            layers += [
                nn.ConvTranspose2d(widths[level + 1], widths[level], kernel, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(widths[level]),
                nn.ReLU(inplace=True),
            ]
        layers += [nn.Conv2d(base_width, shape.channels, 3, padding=1), nn.Tanh()]
        self.layers = nn.Sequential(*layers).apply(_initialise)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """z: (N, latent_dim), labels: (N,) or None -> images (N, C, H, W) in [-1, 1]."""
        images: Tensor = self.layers(self.dense(self.latent(z, labels)))
        return images


class DcganDiscriminator(Discriminator):
    """Image to logit by convolutions, each halving the size, with LeakyReLU and, if asked, batch norm between them."""

    def __init__(self, shape: ImageShape, *, num_classes: int, base_width: int, batch_norm: bool = False) -> None:
        super().__init__()
        sizes = halvings(shape)
        widths = level_widths(base_width, len(sizes))
        layers: list[nn.Module] = [
            nn.Conv2d(shape.channels, base_width, 3, padding=1),
            nn.LeakyReLU(_LEAK, inplace=True),
        ]
        for outer, (width_in, width_out) in zip(sizes[:-1], itertools.pairwise(widths), strict=True):
            kernel = stride_two_kernel(outer)
            layers.append(nn.Conv2d(width_in, width_out, kernel, stride=2, padding=1, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm2d(width_out))
            layers.append(nn.LeakyReLU(_LEAK, inplace=True))
        self.layers = nn.Sequential(*layers, nn.Flatten()).apply(_initialise)
        self.head = ProjectionHead(widths[-1] * sizes[-1].num_pixels, num_classes)

    def features(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers(images)
        return features


FAMILY = Family(
    generator=DcganGenerator,
    discriminator=DcganDiscriminator,
    norms=("spectral", "batch", "none"),
    spectral_gain=48.0,
)


def _initialise(module: nn.Module) -> None:
    """Normal weights with standard deviation 0.02 in convolutions (Radford et al. 2015, section 4)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, std=_INITIAL_STD)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
