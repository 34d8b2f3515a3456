"""A TorchScript file made here stands in for Inception."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.training.datasets import ImageDataset
from ganserve.training.evaluation import Evaluator, feature_extractor_for
from ganserve.training.evaluation.classifier_training import ClassifierSettings
from ganserve.training.evaluation.inception import Inception

from .conftest import LATENT_DIM, BarGenerator

CPU = torch.device("cpu")


class RowMeans(nn.Module):
    """Means of rows, which differ between bars."""

    def forward(self, images: Tensor) -> Tensor:
        """images: uint8 (N, 3, H, W) -> (N, 3 H)."""
        assert images.dtype == torch.uint8
        return images.float().mean(dim=3).flatten(1)


class Scored(nn.Module):
    """Class scores, unless asked for features."""

    def forward(self, images: Tensor, return_features: bool = False) -> Tensor:
        """images: uint8 (N, 3, H, W) -> (N, 7) or (N, 1)."""
        return torch.ones(len(images), 7) if return_features else torch.zeros(len(images), 1)


class Flat(nn.Module):
    """Returns what is no table of features."""

    def forward(self, images: Tensor) -> Tensor:
        """images: uint8 (N, 3, H, W) -> a number."""
        return images.float().mean()


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[nn.Module], Path]:
    """Saves a network as TorchScript and names it in the environment."""

    def save(network: nn.Module) -> Path:
        path = tmp_path / "network.pt"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.save(torch.jit.script(network), path)
        monkeypatch.setenv("GANSERVE_INCEPTION", str(path))
        return path

    return save


def test_without_the_variable_there_is_none() -> None:
    assert Inception.at_hand(CPU) is None


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colour_images(put: Callable[[nn.Module], Path], channels: int) -> None:
    put(RowMeans())
    network = Inception.at_hand(CPU)
    assert network is not None
    features = network.features(torch.full((2, 4, 5, channels), 9, dtype=torch.uint8))
    assert torch.equal(features, torch.full((2, 12), 9.0))


def test_a_network_of_scores_is_asked_for_features(put: Callable[[nn.Module], Path]) -> None:
    network = Inception(put(Scored()), CPU)
    assert network.features(torch.zeros(2, 4, 4, 1, dtype=torch.uint8)).shape == (2, 7)


def test_the_evaluator_reports_it(
    put: Callable[[nn.Module], Path], make_bars: Callable[..., ImageDataset], quick: ClassifierSettings
) -> None:
    put(RowMeans())
    bars = make_bars()
    feature_extractor = feature_extractor_for(bars, device=CPU, settings=quick)
    evaluator = Evaluator(
        bars, feature_extractor, latent_dim=LATENT_DIM, conditional=True, num_images=60, seed=0, device=CPU
    )
    good, bad = evaluator.scores(BarGenerator()), evaluator.scores(BarGenerator(torch.zeros_like))
    assert good.fid_inception is not None
    assert bad.fid_inception is not None
    assert 0 < good.fid_inception < bad.fid_inception


def test_a_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANSERVE_INCEPTION", str(tmp_path / "none.pt"))
    with pytest.raises(ConfigError, match=r"GANSERVE_INCEPTION: there is no file .*none\.pt"):
        Inception.at_hand(CPU)


def test_a_file_of_something_else_is_named(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"something else")
    with pytest.raises(ArtifactError, match=r"weights\.pt is not a TorchScript file"):
        Inception(path, CPU)


@pytest.mark.parametrize(
    ("network", "reason"), [(Flat(), "does not return features"), (nn.Linear(3, 3), "does not take uint8 images")]
)
def test_another_network_is_refused(put: Callable[[nn.Module], Path], network: nn.Module, reason: str) -> None:
    loaded = Inception(put(network), CPU)
    with pytest.raises(ArtifactError, match=reason) as caught:
        loaded.features(torch.zeros(2, 4, 4, 1, dtype=torch.uint8))
    assert "\n" not in str(caught.value)
