"""Distances between two sets of features: how alike, how real, how varied. All take float tensors (N, F).

Weights, float64 (N,) and above 0, say how much each row counts; left out, all count alike. So classes can count alike
of which one set, or both, have few images.

The kernel of KID comes from torchmetrics, whose classes know no weights. It is imported on use because that takes a
second.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

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


def frechet_distance(
    real: Tensor, samples: Tensor, *, real_weights: Tensor | None = None, sample_weights: Tensor | None = None
) -> float:
    """Fréchet distance of the two Gaussians with the sets' means and covariances. At least two rows each.

    Heusel et al., GANs Trained by a Two Time-Scale Update Rule, 2017, equation 6. Only figures from equally many rows
    and the same feature extractor can be compared.
    """
    real_mean, real_covariance = _gaussian(real, real_weights)
    sample_mean, sample_covariance = _gaussian(samples, sample_weights)
    # The trace of the root of the product is the sum of the roots of its eigenvalues.
    roots = torch.linalg.eigvals(real_covariance @ sample_covariance).sqrt().real.sum()
    distance = (real_mean - sample_mean).square().sum() + real_covariance.trace() + sample_covariance.trace()
    return float(distance - 2 * roots)


def kernel_distance(
    real: Tensor, samples: Tensor, *, real_weights: Tensor | None = None, sample_weights: Tensor | None = None
) -> float:
    """Squared maximum mean discrepancy with the kernel (x·y / F + 1)³, unbiased; it may come out just below zero.

    Bińkowski et al., Demystifying MMD GANs, 2018, section 4. The mean over disjoint blocks of at most 1,000 rows of
    each, in the order given. Both sets have the same number of rows, at least two.
    """
    from torchmetrics.image.kid import poly_kernel

    num_blocks = math.ceil(len(real) / _KID_BLOCK)
    weights = (_weights(real, real_weights), _weights(samples, sample_weights))
    blocks = zip(*(rows.double().chunk(num_blocks) for rows in (real, samples, *weights)), strict=True)
    distances = [
        _mean_of_pairs(poly_kernel(x, x), x_weights)
        + _mean_of_pairs(poly_kernel(y, y), y_weights)
        - 2 * float(x_weights @ poly_kernel(x, y) @ y_weights / (x_weights.sum() * y_weights.sum()))
        for x, y, x_weights, y_weights in blocks
    ]
    return math.fsum(distances) / num_blocks


def manifold(
    real: Tensor,
    samples: Tensor,
    num_neighbours: int = NUM_NEIGHBOURS,
    *,
    real_weights: Tensor | None = None,
    sample_weights: Tensor | None = None,
) -> Manifold:
    """Precision and recall, density and coverage; the ball of a row reaches to its `num_neighbours`-th neighbour.

    Kynkäänniemi et al., Improved Precision and Recall Metric, 2019, equations 1 and 2, and Naeem et al., Reliable
    Fidelity and Diversity Metrics, 2020, equations 4 and 5. Both sets have more than `num_neighbours` rows.
    """
    real_radii = _neighbour_distances(real, num_neighbours)
    sample_radii = _neighbour_distances(samples, num_neighbours)
    num_balls = torch.zeros(len(samples), dtype=torch.int64, device=samples.device)
    real_weights, sample_weights = _weights(real, real_weights), _weights(samples, sample_weights)
    recalled = covered = 0.0
    for rows, distances in _distances(real, samples):
        in_real_ball = distances < real_radii[rows, None]
        num_balls += in_real_ball.sum(dim=0)
        covered += float(real_weights[rows] @ in_real_ball.any(dim=1).double())
        recalled += float(real_weights[rows] @ (distances < sample_radii).any(dim=1).double())
    return Manifold(
        precision=float(sample_weights @ (num_balls > 0).double() / sample_weights.sum()),
        recall=recalled / float(real_weights.sum()),
        density=float(sample_weights @ num_balls.double() / sample_weights.sum()) / num_neighbours,
        coverage=covered / float(real_weights.sum()),
    )


def mean_distance(features: Tensor, *, weights: Tensor | None = None) -> float:
    """Mean Euclidean distance of two different rows."""
    weights = _weights(features, weights)
    total = sum(float(weights[rows] @ distances @ weights) for rows, distances in _distances(features, features))
    return total / float(weights.sum().square() - weights.square().sum())


def class_divergence(shares: Tensor, real_counts: Tensor) -> float:
    """Kullback-Leibler divergence in nats, KL(shares ‖ real shares), of class shares (K,) from the data's.

    Each class counts as one real image more than it has, so that a class without any does not make it infinite.
    """
    real_shares = (real_counts + 1) / (real_counts + 1).sum()
    return float(torch.special.xlogy(shares, shares / real_shares).sum())


def _weights(features: Tensor, weights: Tensor | None) -> Tensor:
    """The weights, or ones, float64 (N,), where the features are."""
    if weights is None:
        return torch.ones(len(features), dtype=torch.float64, device=features.device)
    return weights.to(features.device)


def _gaussian(features: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean (F,) and unbiased covariance (F, F), float64."""
    weights = _weights(features, weights)
    shares = weights / weights.sum()
    mean = shares @ features.double()
    centred = features.double() - mean
    return mean, (centred.T * shares) @ centred / (1 - shares.square().sum())


def _mean_of_pairs(values: Tensor, weights: Tensor) -> float:
    """Mean of `values` (N, N) over pairs of two different rows."""
    pairs = float(weights @ values @ weights - weights.square() @ values.diagonal())
    return pairs / float(weights.sum().square() - weights.square().sum())


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
