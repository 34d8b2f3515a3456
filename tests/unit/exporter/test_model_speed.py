from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ganserve.cli import main
from ganserve.exporter import Target, export_run
from ganserve.exporter.benchmark import measure
from ganserve.exporter.benchmark.contestants import flops_per_image, fresh_generator
from ganserve.training import TrainingConfig, training_from_config
from ganserve.training.checkpoint import load_generator


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "digits"
    training_from_config(
        TrainingConfig(data="digits", out=run, arch="mlp", base_width=4, steps=2, batch_size=8, evaluate_every=0)
    )
    return run


@pytest.fixture(scope="module")
def bundle(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_run(run, Target(models=tmp_path_factory.mktemp("models"), name="digits")).folder


def test_every_batch_size_is_measured_on_every_number_of_lanes(bundle: Path) -> None:
    num_threads = torch.get_num_threads()
    seen: list[tuple[int, int]] = []
    speed = measure(
        bundle,
        device="cpu",
        batch_sizes=[1, 3],
        lane_counts=[1, 2],
        num_rounds=2,
        turn_s=0.001,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert [(figure.num_lanes, figure.batch_size) for figure in speed.figures] == [(1, 1), (1, 3), (2, 1), (2, 3)]
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4)]
    for figure in speed.figures:
        assert figure.eager is not None
        assert len(figure.bundle) == len(figure.eager) == len(figure.peak_flops) == 2
        assert min(*figure.bundle, *figure.eager, *figure.peak_flops) > 0
        assert figure.ratio() is not None
    assert set(speed.peak_flops()) == {1, 2}
    assert torch.get_num_threads() == num_threads


def test_operations_are_those_of_its_matrix_products(run: Path) -> None:
    """From 64 latents and an embedding of 32 by 16 and 32 features to 64 pixels."""
    _, card = load_generator(run)
    generator = fresh_generator(card)
    assert generator is not None
    assert flops_per_image(generator, card) == 2 * ((64 + 32) * 16 + 16 * 32 + 32 * 64)


def test_a_generator_from_elsewhere_is_measured_alone(tmp_path: Path, make_bundle: Callable[..., Path]) -> None:
    speed = measure(make_bundle(tmp_path), device="cpu", batch_sizes=[2], lane_counts=[1], num_rounds=1, turn_s=0.001)
    (figure,) = speed.figures
    assert figure.eager is None
    assert figure.ratio() is None
    assert speed.flops_per_image is None


def test_the_command_prints_a_table_or_json(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "model", str(bundle), "--rounds", "1", "--seconds", "0.001", "--batch-size", "2", "--lanes", "1"]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "digits:1@" in text
    assert "over PyTorch" in text
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["figures"][0]["batch_size"] == 2


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--rounds", "0"),
        ("--batch-size", "0"),
        ("--batch-size", "1000000"),
        ("--lanes", "0"),
        ("--lanes", "100000"),
        ("--seconds", "0"),
        ("--seconds", "nan"),
        ("--seconds", "inf"),
    ],
)
def test_numbers_that_cannot_be_used_are_refused(
    bundle: Path, flag: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "model", str(bundle), flag, value]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert value in error
    assert f"{flag}. Give " in error
