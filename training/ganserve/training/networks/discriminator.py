"""What the discriminators of all families have in common."""

from __future__ import annotations

from torch import Tensor, nn

from .conditioning import ProjectionHead


class Discriminator(nn.Module):
    """Images to features, which each family computes in its own way, and features to logits, by the head."""

    head: ProjectionHead

    def features(self, images: Tensor) -> Tensor:
        """images: (N, C, H, W) in [-1, 1] -> what the head takes, (N, num_features)."""
        raise NotImplementedError

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """images: (N, C, H, W), labels: (N,) or None -> logits (N,)."""
        logits: Tensor = self.head(self.features(images), labels)
        return logits

    def class_logits(self, images: Tensor) -> Tensor:
        """images: (N, C, H, W) -> the logits that each class would give, (N, num_classes), or (N, 1) without any."""
        return self.head.class_logits(self.features(images))
