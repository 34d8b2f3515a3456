"""The network whose features the samples are compared in: a small classifier of the real images."""

from __future__ import annotations

import hashlib
import math

import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor, nn

from ganserve.training.networks.shape import ImageShape
from ganserve.training.tensor_file import on_cpu

NUM_FEATURES = 128
_WIDTHS = (32, 64, 128)
_MAX_SIDE = 64
_MAX_FULL_SIDE = 40


class FeatureExtractor(nn.Module):
    """Images to features and logits.

    Three convolutions, each with batch norm and halved by a maximum, and a dense layer. Its 128 features are normalised
    to mean 0 and variance 1 each, over the real images in all the poses that it has to tell apart, if any, so distances
    between features read on about one scale for all data. Images of more than 64 pixels a side are averaged down to at
    most that, so finer detail does not count.
    """

    def __init__(self, shape: ImageShape, num_outputs: int, *, knows_classes: bool) -> None:
        """Fresh weights for images of `shape`; `knows_classes` says that the outputs are the classes of the data."""
        super().__init__()
        self.shape = shape
        self.num_outputs = num_outputs
        self.knows_classes = knows_classes
        self.accuracy = 0.0
        """Share of held-out real images that it gets right."""
        self.class_accuracies: tuple[float | None, ...] = (None,) * num_outputs if knows_classes else ()
        """The same of each class; None where none of its images are held out."""

        self.shrinking = math.ceil(max(shape.height, shape.width) / _MAX_SIDE)
        sides = [max(side // self.shrinking, 1) for side in (shape.height, shape.width)]
        stride = 2 if max(sides) > _MAX_FULL_SIDE else 1
        sides = [math.ceil(side / stride) for side in sides]
        layers: list[nn.Module] = []
        num_inputs = shape.channels
        for width in _WIDTHS:
            pooling = [2 if side >= 4 else 1 for side in sides]
            sides = [side // factor for side, factor in zip(sides, pooling, strict=True)]
            layers += [
                nn.Conv2d(num_inputs, width, 3, stride, padding=1, bias=False),
                nn.MaxPool2d((pooling[0], pooling[1])),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            num_inputs, stride = width, 1
        self.layers = nn.Sequential(*layers)
        self.to_features = nn.Sequential(
            nn.Flatten(),
            nn.Linear(num_inputs * sides[0] * sides[1], NUM_FEATURES, bias=False),
            nn.BatchNorm1d(NUM_FEATURES, affine=False),
        )
        self.to_logits = nn.Linear(NUM_FEATURES, num_outputs)

    @property
    def digest(self) -> str:
        """SHA-256, as lower-case hex, over the weights and the accuracies: two of one digest judge alike."""
        accuracies = repr((self.accuracy, self.class_accuracies))
        return hashlib.sha256(save(on_cpu(self.state_dict())) + accuracies.encode()).hexdigest()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """images: float32 (N, C, H, W) in [-1, 1] -> features float32 (N, 128), logits float32 (N, num_outputs)."""
        return self.judge(self.shrunk(images))

    def shrunk(self, images: Tensor) -> Tensor:
        """images: float32 (N, C, H, W) as they are -> float32 (N, C, h, w) of at most 64 pixels a side."""
        if self.shrinking == 1:
            return images
        kernel = (min(self.shrinking, self.shape.height), min(self.shrinking, self.shape.width))
        return F.avg_pool2d(images, kernel)

    def judge(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` gives for images that are `shrunk` already."""
        features = self.to_features(self.layers(images))
        return features, self.to_logits(torch.relu(features))
