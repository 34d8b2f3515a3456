"""Generators as people have them: each takes or gives something else than `export` expects, but for `Linear`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Linear(nn.Module):
    """Images of 6×5 from seven latents, shifted by a row of the label's own where there is one."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.project = nn.Linear(7, 90)
        self.embedding = nn.Embedding(num_classes, 7)

    def images(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        if labels is not None:
            z = z + self.embedding(labels)
        return torch.tanh(self.project(z)).reshape(-1, 3, 6, 5)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.images(z, labels)


class LatentsAlone(Linear):
    def forward(self, z: Tensor) -> Tensor:  # type: ignore[override]
        return self.images(z)


class SpatialLatents(Linear):
    def forward(self, z: Tensor, _labels: Tensor | None = None) -> Tensor:
        batch, size, _, _ = z.shape
        return self.images(z.reshape(batch, size))


class SpatialLatentsAlone(SpatialLatents):
    def forward(self, z: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(z)


class OneHotLabels(Linear):
    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        assert labels is not None
        return self.images(z + labels @ self.embedding.weight)


class TwoRows(Linear):
    def forward(self, z: Tensor, _labels: Tensor | None = None) -> Tensor:
        return torch.tanh(self.project(z)).reshape(2, 3, 6, 5)


class OneRow(Linear):
    def forward(self, z: Tensor, _labels: Tensor | None = None) -> Tensor:
        return self.images(z)[:1]


class CountingRows(Linear):
    def forward(self, z: Tensor, _labels: Tensor | None = None) -> Tensor:
        return torch.tanh(self.project(z)).reshape(len(z), 3, 6, 5)


class Pixels(Linear):
    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return (self.images(z, labels) * 127.5 + 127.5).to(torch.uint8)


class FlatRows(Linear):
    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.images(z, labels).flatten(1)


class ChannelsLast(Linear):
    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.images(z, labels).permute(0, 2, 3, 1)


class ImagesAndLatents(Linear):
    def forward(self, z: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return self.images(z, labels), z


class TooLarge(Linear):
    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return F.interpolate(self.images(z, labels), scale_factor=2)


class UnitRange(Linear):
    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.images(z, labels) / 2 + 0.5


class HalfImages(Linear):
    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.images(z, labels).half()


class Branching(Linear):
    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        images = self.images(z, labels)
        return images if images.mean() > 0 else -images


class IgnoringLabels(Linear):
    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        assert labels is not None
        return self.images(z, labels * 0)


class IgnoringLatents(Linear):
    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.images(z * 0, labels)
