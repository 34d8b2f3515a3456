"""Models that were really trained (for two steps) and exported, and a server over them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ganserve.exporter import Target, export_run
from ganserve.training import TrainingConfig, training_from_config

from ..servers import ServerProcess, StartServer


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two steps: `digits` and `other-digits`, conditional, and `plain`, unconditional."""
    folder = tmp_path_factory.mktemp("runs")
    common = {"data": "digits", "steps": 2, "batch_size": 8, "base_width": 8, "latent_dim": 16, "evaluate_every": 0}
    for seed, name in enumerate(("digits", "other-digits")):
        training_from_config(TrainingConfig(out=folder / name, seed=seed, **common))  # type: ignore[arg-type]
    training_from_config(
        TrainingConfig(out=folder / "plain", arch="mlp", loss="wgan-gp", conditional=False, **common)  # type: ignore[arg-type]
    )
    return folder


@pytest.fixture(scope="session")
def models(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their bundles; `digits` in two versions, the second being `other-digits`."""
    folder = tmp_path_factory.mktemp("models")
    for run, name in (("digits", "digits"), ("other-digits", "digits"), ("plain", "plain")):
        export_run(runs / run, Target(models=folder, name=name))
    return folder


@pytest.fixture(scope="session")
def server(models: Path, start_server: StartServer) -> Iterator[ServerProcess]:
    """A server over those bundles, shared by the tests that do not stop it."""
    with start_server(models) as server:
        yield server
