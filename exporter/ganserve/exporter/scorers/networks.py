"""Networks that give images numbers: pixels in, and for each image one number for all, and one for each class."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ganserve.training.evaluation import FeatureExtractor
from ganserve.training.networks import Discriminator
from ganserve.training.pixels import from_levels


class DiscriminatorScorer(nn.Module):
    """The logits of a discriminator: the highest that any class gives, then that of each class."""

    def __init__(self, discriminator: Discriminator) -> None:
        """Folds what its weights are computed from, such as their spectral norms, into weights; in place."""
        super().__init__()
        for module in discriminator.modules():
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight")
        self.discriminator = discriminator.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """image: uint8 (N, H, W, C) -> float32 (N, 1 + classes), or (N, 1) without classes."""
        return _with_highest(self.discriminator.class_logits(from_levels(image)))


class ClassifierScorer(nn.Module):
    """The log-probabilities of a classifier: of the likeliest class, then of each."""

    def __init__(self, classifier: FeatureExtractor) -> None:
        super().__init__()
        self.classifier = classifier.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """image: uint8 (N, H, W, C) -> float32 (N, 1 + classes)."""
        _, logits = self.classifier(from_levels(image))
        return _with_highest(torch.log_softmax(logits, dim=1))


def _with_highest(scores: Tensor) -> Tensor:
    return scores if scores.shape[1] == 1 else torch.cat([scores.amax(dim=1, keepdim=True), scores], dim=1)
