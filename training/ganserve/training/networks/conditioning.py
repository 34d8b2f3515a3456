"""How a class reaches the networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_EMBEDDING_DIM = 32


class LatentInput(nn.Module):
    """Joins the latent with a learnt embedding of the class; without classes it passes the latent on."""

    def __init__(self, latent_dim: int, num_classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_classes, _EMBEDDING_DIM) if num_classes else None
        self.num_features = latent_dim + (_EMBEDDING_DIM if num_classes else 0)

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """z: (N, latent_dim), labels: (N,) or None -> (N, num_features)."""
        if self.embedding is None:
            return z
        return torch.cat([z, self.embedding(labels)], dim=1)


class ClassBatchNorm(nn.Module):
    """Batch norm with a gain and a bias for each class; without classes, with one of each for all.

    Dumoulin et al., A Learned Representation for Artistic Style, 2017, equation 5.
    """

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(num_features, affine=num_classes == 0)
        self.gain = nn.Embedding(num_classes, num_features) if num_classes else None
        self.bias = nn.Embedding(num_classes, num_features) if num_classes else None
        if self.gain is not None and self.bias is not None:
            nn.init.ones_(self.gain.weight)
            nn.init.zeros_(self.bias.weight)

    def forward(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """features: (N, num_features, H, W), labels: (N,) or None -> the same shape."""
        normed: Tensor = self.norm(features)
        if self.gain is None or self.bias is None:
            return normed
        gain: Tensor = self.gain(labels)
        bias: Tensor = self.bias(labels)
        return normed * gain[:, :, None, None] + bias[:, :, None, None]


class ProjectionHead(nn.Module):
    """Features to one logit: a linear layer, plus the inner product with the class's embedding.

    Miyato and Koyama, cGANs with Projection Discriminator, 2018, equation 6. Without classes, the linear layer alone.
    The class vectors begin at zero: unit-normal ones drown the linear layer's logit at first, and samples stay worse.
    Under spectral norm they begin otherwise; see `normalise_spectrally`.
    """

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(num_features, 1)
        self.embedding = nn.Embedding(num_classes, num_features) if num_classes else None
        if self.embedding is not None:
            nn.init.zeros_(self.embedding.weight)

    def forward(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """features: (N, num_features), labels: (N,) or None -> (N,)."""
        logits: Tensor = self.linear(features).squeeze(1)
        if self.embedding is None:
            return logits
        class_vectors: Tensor = self.embedding(labels)
        return logits + (features * class_vectors).sum(dim=1)

    def class_logits(self, features: Tensor) -> Tensor:
        """features: (N, num_features) -> the logits that each class would give, (N, num_classes), or (N, 1) without."""
        logits: Tensor = self.linear(features)
        return logits if self.embedding is None else logits + features @ self.embedding.weight.T
