"""Residual networks of SNGAN (Miyato et al. 2018, appendix B.4; Miyato and Koyama 2018), for any image size."""

from __future__ import annotations

import math
from typing import TypeVar

import torch.nn.functional as F
from torch import Tensor, nn

from .conditioning import ClassBatchNorm, ProjectionHead
from .discriminator import Discriminator
from .family import Family
from .shape import ImageShape, Size, halvings, level_widths

_RESIDUAL_GAIN = math.sqrt(2)

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


class GeneratorBlock(nn.Module):
    """Norm, ReLU, nearest upsampling, convolution, norm, ReLU, convolution; and a 1×1 convolution beside them.

    The 1×1 convolution comes before its upsampling: the two commute, and so it is four times cheaper.
    """

    def __init__(self, width_in: int, width_out: int, outer: Size, num_classes: int) -> None:
        super().__init__()
        self.norm_in = ClassBatchNorm(width_in, num_classes)
        self.conv_in = _residual_conv(width_in, width_out, bias=False)
        self.norm_out = ClassBatchNorm(width_out, num_classes)
        self.conv_out = _residual_conv(width_out, width_out)
        self.shortcut = _glorot(nn.Conv2d(width_in, width_out, 1))
        self.upsample = nn.Upsample(size=tuple(outer), mode="nearest")

    def forward(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """features: (N, width_in, h, w), labels: (N,) or None -> (N, width_out, *outer)."""
        inner = self.conv_in(self.upsample(F.relu(self.norm_in(features, labels))))
        residual = self.conv_out(F.relu(self.norm_out(inner, labels)))
        total: Tensor = self.upsample(self.shortcut(features)) + residual
        return total


class ResnetGenerator(nn.Module):
    """Latent to image by residual blocks, each doubling the size, with a gain and a bias for each class in every norm.

    In the papers the last norm knows no class; here it does, so that images too small for a block are conditional too.
    """

    def __init__(self, shape: ImageShape, *, latent_dim: int, num_classes: int, base_width: int) -> None:
        super().__init__()
        sizes = halvings(shape)
        widths = level_widths(base_width, len(sizes))
        self.dense = _glorot(nn.Linear(latent_dim, widths[-1] * sizes[-1].num_pixels))
        self.unflatten = nn.Unflatten(1, (widths[-1], *sizes[-1]))
        self.blocks = nn.ModuleList(
            GeneratorBlock(widths[level + 1], widths[level], sizes[level], num_classes)
            for level in reversed(range(len(sizes) - 1))
        )
        self.norm = ClassBatchNorm(base_width, num_classes)
        self.to_image = _glorot(nn.Conv2d(base_width, shape.channels, 3, padding=1))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """z: (N, latent_dim), labels: (N,) or None -> images (N, C, H, W) in [-1, 1]."""
        features: Tensor = self.unflatten(self.dense(z))
        for block in self.blocks:
            features = block(features, labels)
        images: Tensor = self.to_image(F.relu(self.norm(features, labels)))
        return images.tanh()


class DiscriminatorBlock(nn.Module):
    """ReLU, convolution, ReLU, convolution, average pooling; and a pooled 1×1 convolution beside them.

    The first block, which sees pixels, leaves its first ReLU out (`of_pixels`); the last one does not pool. Pooling
    commutes with the 1×1 convolution and comes before it, which is cheaper.
    """

    def __init__(self, width_in: int, width_between: int, width_out: int, *, of_pixels: bool, pooled: bool) -> None:
        super().__init__()
        self.activate = nn.Identity() if of_pixels else nn.ReLU()
        self.conv_in = _residual_conv(width_in, width_between)
        self.conv_out = _residual_conv(width_between, width_out)
        self.pool = nn.AvgPool2d(2, ceil_mode=True) if pooled else nn.Identity()
        resized = pooled or width_in != width_out
        self.shortcut = _glorot(nn.Conv2d(width_in, width_out, 1)) if resized else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """features: (N, width_in, H, W) -> (N, width_out, h, w), half the size rounded up where it pools."""
        residual = self.conv_out(F.relu(self.conv_in(self.activate(features))))
        total: Tensor = self.pool(residual) + self.shortcut(self.pool(features))
        return total


class ResnetDiscriminator(Discriminator):
    """Image to logit by residual blocks, each halving the size, one more that keeps it, and a sum over positions."""

    def __init__(self, shape: ImageShape, *, num_classes: int, base_width: int) -> None:
        super().__init__()
        num_levels = len(halvings(shape))
        widths = level_widths(base_width, num_levels)
        blocks: list[nn.Module] = []
        for level in range(num_levels):
            innermost = level == num_levels - 1
            blocks.append(
                DiscriminatorBlock(
                    shape.channels if level == 0 else widths[level],
                    widths[level],
                    widths[level] if innermost else widths[level + 1],
                    of_pixels=level == 0,
                    pooled=not innermost,
                )
            )
        self.blocks = nn.Sequential(*blocks, nn.ReLU())
        self.head = ProjectionHead(widths[-1], num_classes)
        _glorot(self.head.linear)

    def features(self, images: Tensor) -> Tensor:
        features: Tensor = self.blocks(images).sum(dim=(2, 3))
        return features


FAMILY = Family(
    generator=ResnetGenerator,
    discriminator=ResnetDiscriminator,
    norms=("spectral", "none"),
    smallest_side=4,
)


def _residual_conv(width_in: int, width_out: int, *, bias: bool = True) -> nn.Conv2d:
    return _glorot(nn.Conv2d(width_in, width_out, 3, padding=1, bias=bias), gain=_RESIDUAL_GAIN)


def _glorot(layer: Layer, gain: float = 1.0) -> Layer:
    """Uniform weights after Glorot and Bengio 2010, as SNGAN's: √2 as gain in the residual path, 1 elsewhere."""
    nn.init.xavier_uniform_(layer.weight, gain=gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
