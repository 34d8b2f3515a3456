"""Residual networks without norm, after R3GAN (Huang et al., The GAN is dead; long live the GAN!, 2024, section 4).

The discriminator is the generator's mirror image. Width and depth are small here, for a CPU, and the generator ends in
tanh as all others here do.
"""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor, nn

from .conditioning import LatentInput, ProjectionHead
from .discriminator import Discriminator
from .family import Family
from .shape import ImageShape, halvings, level_widths

_BLOCKS_PER_LEVEL = 1
_EXPANSION = 2
_GROUP_WIDTH = 16
_LEAK = 0.2
_LEAKY_GAIN = math.sqrt(2 / (1 + _LEAK**2))
_CONVS_PER_BLOCK = 3

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


class InvertedBottleneck(nn.Module):
    """Input plus 1×1 convolution to twice the width, grouped 3×3 convolution, and 1×1 convolution back.

    Instead of a norm, the first weights do what fix-up initialisation asks (Zhang et al. 2019): the last convolution
    begins at zero, the others at He's scale times L^(-1/(2m-2)), for L blocks in the network and m convolutions each.
    """

    def __init__(self, width: int, num_blocks: int) -> None:
        super().__init__()
        inner = _EXPANSION * width
        num_groups = inner // math.gcd(inner, _GROUP_WIDTH)
        expand = nn.Conv2d(width, inner, 1)
        mix = nn.Conv2d(inner, inner, 3, padding=1, groups=num_groups)
        contract = nn.Conv2d(inner, width, 1, bias=False)
        gain = _LEAKY_GAIN * num_blocks ** (-1 / (2 * _CONVS_PER_BLOCK - 2))
        self.residual = nn.Sequential(
            _he_normal(expand, gain), nn.LeakyReLU(_LEAK), _he_normal(mix, gain), nn.LeakyReLU(_LEAK), contract
        )
        nn.init.zeros_(contract.weight)

    def forward(self, features: Tensor) -> Tensor:
        """features: (N, width, H, W) -> the same shape."""
        residual: Tensor = self.residual(features)
        return features + residual


class R3ganGenerator(nn.Module):
    """A learnt map, scaled by the latent channel by channel, through residual blocks; between sizes, bilinear."""

    def __init__(self, shape: ImageShape, *, latent_dim: int, num_classes: int, base_width: int) -> None:
        super().__init__()
        sizes = halvings(shape)
        widths = level_widths(base_width, len(sizes))
        num_blocks = _BLOCKS_PER_LEVEL * len(sizes)
        self.latent = LatentInput(latent_dim, num_classes)
        self.dense = _he_normal(nn.Linear(self.latent.num_features, widths[-1]))
        self.basis = nn.Parameter(torch.randn(widths[-1], *sizes[-1]))
        layers = _blocks(widths[-1], num_blocks)
        for level in reversed(range(len(sizes) - 1)):
            layers += _change_of_width(widths[level + 1], widths[level])
            layers.append(nn.Upsample(size=tuple(sizes[level]), mode="bilinear", align_corners=False))
            layers += _blocks(widths[level], num_blocks)
        self.layers = nn.Sequential(*layers, _he_normal(nn.Conv2d(base_width, shape.channels, 1)), nn.Tanh())

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """z: (N, latent_dim), labels: (N,) or None -> images (N, C, H, W) in [-1, 1]."""
        scales: Tensor = self.dense(self.latent(z, labels))
        images: Tensor = self.layers(scales[:, :, None, None] * self.basis)
        return images


class R3ganDiscriminator(Discriminator):
    """The way back: residual blocks, average pooling between sizes, and the inner product with a learnt map."""

    def __init__(self, shape: ImageShape, *, num_classes: int, base_width: int) -> None:
        super().__init__()
        sizes = halvings(shape)
        widths = level_widths(base_width, len(sizes))
        num_blocks = _BLOCKS_PER_LEVEL * len(sizes)
        layers: list[nn.Module] = [_he_normal(nn.Conv2d(shape.channels, base_width, 1))]
        for level in range(len(sizes) - 1):
            layers += [*_blocks(widths[level], num_blocks), nn.AvgPool2d(2, ceil_mode=True)]
            layers += _change_of_width(widths[level], widths[level + 1])
        self.layers = nn.Sequential(*layers, *_blocks(widths[-1], num_blocks))
        self.basis = nn.Parameter(torch.randn(widths[-1], *sizes[-1]) / math.sqrt(sizes[-1].num_pixels))
        self.head = ProjectionHead(widths[-1], num_classes)
        _he_normal(self.head.linear)

    def features(self, images: Tensor) -> Tensor:
        features: Tensor = (self.layers(images) * self.basis).sum(dim=(2, 3))
        return features


FAMILY = Family(
    generator=R3ganGenerator,
    discriminator=R3ganDiscriminator,
    norms=("none",),
    smallest_side=4,
)


def _blocks(width: int, num_blocks: int) -> list[nn.Module]:
    """The residual blocks of one size, in a network of `num_blocks`."""
    return [InvertedBottleneck(width, num_blocks) for _ in range(_BLOCKS_PER_LEVEL)]


def _change_of_width(width_in: int, width_out: int) -> list[nn.Module]:
    return [] if width_in == width_out else [_he_normal(nn.Conv2d(width_in, width_out, 1, bias=False))]


def _he_normal(layer: Layer, gain: float = 1.0) -> Layer:
    """Normal weights with standard deviation gain / √fan-in (He et al. 2015), biases zero."""
    nn.init.normal_(layer.weight, std=gain / math.sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
