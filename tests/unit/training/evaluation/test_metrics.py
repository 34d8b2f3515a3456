"""Each metric against another implementation of it, and where the answer is known."""

from __future__ import annotations

import contextlib
import io
import math

import numpy as np
import numpy.typing as npt
import pytest
import scipy.linalg
import torch
from prdc import compute_prdc
from scipy.spatial.distance import pdist
from torch import Tensor

from ganserve.training.evaluation import metrics

Floats = npt.NDArray[np.float64]


def features(num_rows: int, shift: float = 0.0, scale: float = 1.0, seed: int = 0, num_features: int = 6) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(shift, scale, (num_rows, num_features))).float()


def test_frechet_distance_is_that_of_scipy() -> None:
    real, samples = features(80), features(60, shift=0.4, scale=1.3, seed=1)
    left, right = np.cov(real.double().numpy().T), np.cov(samples.double().numpy().T)
    root = scipy.linalg.sqrtm(left @ right).real
    means = real.double().mean(dim=0) - samples.double().mean(dim=0)
    expected = float(means @ means) + np.trace(left + right - 2 * root)
    assert metrics.frechet_distance(real, samples) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_of_a_shift_is_its_square() -> None:
    real = features(50)
    assert metrics.frechet_distance(real, real + 2) == pytest.approx(6 * 2**2, rel=1e-4)
    assert metrics.frechet_distance(real, real) == pytest.approx(0, abs=1e-5)


def test_frechet_distance_holds_with_fewer_rows_than_features() -> None:
    real, samples = features(3, num_features=16), features(3, num_features=16, seed=1)
    assert 0 < metrics.frechet_distance(real, samples) < math.inf


def test_kernel_distance_is_the_unbiased_estimate() -> None:
    real, samples = features(30).double().numpy(), features(30, shift=0.5, seed=1).double().numpy()

    def kernel(x: Floats, y: Floats) -> Floats:
        values: Floats = (x @ y.T / x.shape[1] + 1) ** 3
        return values

    within = [(kernel(x, x).sum() - kernel(x, x).trace()) / (30 * 29) for x in (real, samples)]
    expected = sum(within) - 2 * kernel(real, samples).mean()
    assert metrics.kernel_distance(torch.from_numpy(real), torch.from_numpy(samples)) == pytest.approx(expected)


def test_kernel_distance_is_a_mean_over_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    real, samples = features(40), features(40, shift=0.5, seed=1)
    halves = [metrics.kernel_distance(real[part], samples[part]) for part in (slice(20), slice(20, 40))]
    monkeypatch.setattr(metrics, "_KID_BLOCK", 20)
    assert metrics.kernel_distance(real, samples) == pytest.approx(np.mean(halves))


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (1.0, 0.5), (0.0, 0.3), (0.5, 2.0), (100.0, 1.0)])
@pytest.mark.parametrize("chunk", [7, 1_000])
def test_manifold_is_that_of_the_reference(
    shift: float, scale: float, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "_CHUNK", chunk)
    real, samples = features(60), features(50, shift=shift, scale=scale, seed=1)
    with contextlib.redirect_stdout(io.StringIO()):
        expected = compute_prdc(real.double().numpy(), samples.double().numpy(), nearest_k=4)
    assert metrics.manifold(real, samples, 4)._asdict() == pytest.approx(expected)


def test_collapse_shows_in_recall_and_coverage_and_not_in_precision() -> None:
    real = features(200, num_features=2)
    found = metrics.manifold(real, features(200, scale=0.01, seed=1, num_features=2))
    assert found.precision == 1
    assert found.recall < 0.1
    assert found.coverage < 0.3


@pytest.mark.parametrize("chunk", [7, 1_000])
def test_mean_distance_is_that_of_scipy(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_CHUNK", chunk)
    rows = features(40)
    assert metrics.mean_distance(rows) == pytest.approx(pdist(rows.double().numpy()).mean())


def test_a_row_is_at_no_distance_from_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_CHUNK", 40)
    rows = features(100, shift=100, num_features=128)
    assert all(not distances[:, part].diagonal().any() for part, distances in metrics._distances(rows, rows))


def test_class_divergence() -> None:
    counts = torch.tensor([49.0, 49.0])
    assert metrics.class_divergence(torch.tensor([0.5, 0.5]), counts) == pytest.approx(0)
    assert metrics.class_divergence(torch.tensor([1.0, 0.0]), counts) == pytest.approx(math.log(2))


def test_class_divergence_is_finite_where_the_data_lack_a_class() -> None:
    found = metrics.class_divergence(torch.tensor([0.5, 0.5]), torch.tensor([98.0, 0.0]))
    assert found == pytest.approx(0.5 * math.log(0.5 / 0.99) + 0.5 * math.log(0.5 / 0.01))


def test_a_row_of_weight_two_counts_as_two_rows() -> None:
    real, samples = features(30), features(40, shift=0.4, scale=1.3, seed=1)
    counts = torch.from_numpy(np.random.default_rng(2).integers(1, 4, 40))
    repeated, weights = samples.repeat_interleave(counts, dim=0), counts.double()

    def biased(covariance_of: Tensor, weights: Tensor | None = None) -> Tensor:
        """The covariance without the correction for the number of rows, which repeated rows have more of."""
        shares = torch.ones(len(covariance_of)).double() if weights is None else weights
        shares = shares / shares.sum()
        return metrics._gaussian(covariance_of, weights)[1] * (1 - shares.square().sum())

    torch.testing.assert_close(metrics._gaussian(samples, weights)[0], repeated.double().mean(dim=0))
    torch.testing.assert_close(biased(samples, weights), biased(repeated))
    weighted, plain = (
        metrics.manifold(real, samples, 4, sample_weights=each)._asdict() for each in (weights, torch.ones(40).double())
    )
    balls = metrics._neighbour_distances(real, 4)
    inside = (torch.cdist(real.double(), samples.double()) < balls[:, None]).double()
    assert weighted["precision"] == pytest.approx(float(weights @ (inside.sum(dim=0) > 0).double() / weights.sum()))
    assert weighted["density"] == pytest.approx(float(weights @ inside.sum(dim=0) / weights.sum()) / 4)
    assert (weighted["recall"], weighted["coverage"]) == (plain["recall"], plain["coverage"])


def test_weights_that_are_alike_change_nothing() -> None:
    real, samples, weights = features(40), features(40, shift=0.5, seed=1), torch.full((40,), 0.2).double()
    both = {"real_weights": weights, "sample_weights": weights}
    assert metrics.frechet_distance(real, samples, **both) == pytest.approx(metrics.frechet_distance(real, samples))
    assert metrics.kernel_distance(real, samples, **both) == pytest.approx(metrics.kernel_distance(real, samples))
    manifold = metrics.manifold(real, samples, real_weights=weights, sample_weights=weights)
    assert manifold == pytest.approx(metrics.manifold(real, samples))
    assert metrics.mean_distance(real, weights=weights) == pytest.approx(metrics.mean_distance(real))


def test_weights_that_are_nearly_none_leave_rows_out() -> None:
    real, samples = features(40), features(40, shift=0.5, seed=1)
    weights = torch.cat([torch.ones(25), torch.full((15,), 1e-15)]).double()
    both = {"real_weights": weights, "sample_weights": weights}
    left = (real[:25], samples[:25])
    assert metrics.frechet_distance(real, samples, **both) == pytest.approx(metrics.frechet_distance(*left))
    assert metrics.kernel_distance(real, samples, **both) == pytest.approx(metrics.kernel_distance(*left))
    assert metrics.mean_distance(real, weights=weights) == pytest.approx(metrics.mean_distance(left[0]))
