"""Distances between two sets of features: how alike, how real, how varied. All take float tensors (N, F).

FID and the kernel of KID come from torchmetrics. Its KID class is not used: it warns when it is made and draws its
subsets from the global random numbers. torchmetrics is imported on use because that takes a second.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

NUM_NEIGHBOURS = 5
_KID_BLOCK = 1_000
_CHUNK = 1_000


class Manifold(NamedTuple):
    """How the samples lie among the real images, each told by the balls around the images' nearest neighbours."""

    precision: float
    """Share of samples within a ball of a real image."""

    recall: float
    """Share of real images within a ball of a sample."""

    density: float
    """Mean number of real balls that a sample is in, over the number of neighbours; above 1 where real ones crowd."""

    coverage: float
    """Share of real images with a sample in their ball."""


class _Features(nn.Module):
    """What torchmetrics takes for a feature network; it is given features already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def frechet_distance(real: Tensor, samples: Tensor) -> float:
    """Fréchet distance of the two Gaussians with the sets' means and covariances. At least two rows each.

    Heusel et al., GANs Trained by a Two Time-Scale Update Rule, 2017, equation 6. Only figures from equally many rows
    and the same feature extractor can be compared.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    # Ranks of a distributed run must not wait for each other here: one evaluates, or each for itself.
    metric = FrechetInceptionDistance(_Features(real.shape[1]), sync_on_compute=False).to(real.device)
    metric.update(real.double(), real=True)
    metric.update(samples.double(), real=False)
    return float(metric.compute())


def kernel_distance(real: Tensor, samples: Tensor) -> float:
    """Squared maximum mean discrepancy with the kernel (x·y / F + 1)³, unbiased; it may come out just below zero.

    Bińkowski et al., Demystifying MMD GANs, 2018, section 4. The mean over disjoint blocks of at most 1,000 rows of
    each, in the order given. Both sets have the same number of rows, at least two.
    """
    from torchmetrics.image.kid import poly_mmd

    num_blocks = math.ceil(len(real) / _KID_BLOCK)
    blocks = zip(real.double().chunk(num_blocks), samples.double().chunk(num_blocks), strict=True)
    return float(torch.stack([poly_mmd(*block) for block in blocks]).mean())


def manifold(real: Tensor, samples: Tensor, num_neighbours: int = NUM_NEIGHBOURS) -> Manifold:
    """Precision and recall, density and coverage; the ball of a row reaches to its `num_neighbours`-th neighbour.

    Kynkäänniemi et al., Improved Precision and Recall Metric, 2019, equations 1 and 2, and Naeem et al., Reliable
    Fidelity and Diversity Metrics, 2020, equations 4 and 5. Both sets have more than `num_neighbours` rows.
    """
    real_radii = _neighbour_distances(real, num_neighbours)
    sample_radii = _neighbour_distances(samples, num_neighbours)
    num_balls = torch.zeros(len(samples), dtype=torch.int64, device=samples.device)
    num_recalled = num_covered = 0
    for rows, distances in _distances(real, samples):
        in_real_ball = distances < real_radii[rows, None]
        num_balls += in_real_ball.sum(dim=0)
        num_covered += int(in_real_ball.any(dim=1).sum())
        num_recalled += int((distances < sample_radii).any(dim=1).sum())
    return Manifold(
        precision=float((num_balls > 0).double().mean()),
        recall=num_recalled / len(real),
        density=float(num_balls.sum()) / (num_neighbours * len(samples)),
        coverage=num_covered / len(real),
    )


def mean_distance(features: Tensor) -> float:
    """Mean Euclidean distance of two different rows."""
    total = sum(float(distances.sum()) for _, distances in _distances(features, features))
    return total / (len(features) * (len(features) - 1))


def class_divergence(shares: Tensor, real_counts: Tensor) -> float:
    """Kullback-Leibler divergence in nats, KL(shares ‖ real shares), of class shares (K,) from the data's.

    Each class counts as one real image more than it has, so that a class without any does not make it infinite.
    """
    real_shares = (real_counts + 1) / (real_counts + 1).sum()
    return float(torch.special.xlogy(shares, shares / real_shares).sum())


def _neighbour_distances(features: Tensor, num_neighbours: int) -> Tensor:
    """float64 (N,): from each row to its `num_neighbours`-th nearest other row."""
    # The nearest of all is the row itself.
    nearest = [
        distances.topk(num_neighbours + 1, dim=1, largest=False).values[:, -1]
        for _, distances in _distances(features, features)
    ]
    return torch.cat(nearest)


def _distances(left: Tensor, right: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Some rows of `left` at a time, and their distances to all of `right`, float64 (rows, N): 80 MB for N 10,000."""
    is_same = left is right
    left, right = left.double(), right.double()
    for first in range(0, len(left), _CHUNK):
        rows = slice(first, min(first + _CHUNK, len(left)))
        distances = torch.cdist(left[rows], right)
        if is_same:
            distances[:, rows].fill_diagonal_(0)
        yield rows, distances
