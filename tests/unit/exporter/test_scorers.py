"""The scorers of a run: PyTorch's numbers from ONNX, quantiles over images that were held out, and the command."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from ganserve.cli import main
from ganserve.client import LocalGenerator
from ganserve.contract.card import is_scorer
from ganserve.contract.errors import ConfigError, ParityError
from ganserve.contract.images import Images
from ganserve.contract.scores import PERCENTS
from ganserve.contract.textures import sample_textures
from ganserve.exporter import ExportWarning, Scorer, Target, export_run, export_scorer, scorers_of
from ganserve.exporter.scorers.networks import DiscriminatorScorer
from ganserve.runtime.inspection import inspect_bundle
from ganserve.training import TrainingConfig, training_from_config
from ganserve.training.networks import ImageShape, build_discriminator
from ganserve.training.pixels import from_levels

from ...scorers import scorer_card

SIDE = 8
CLASSES = ("cat", "dog")


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of two classes in two splits: of `train` 40 a class, of `test` 15, darker ones of cats."""
    folder = tmp_path_factory.mktemp("pets")
    for split, count in (("train", 40), ("test", 15)):
        for place, name in enumerate(CLASSES):
            (folder / split / name).mkdir(parents=True)
            images = sample_textures(place, len(split), count, (SIDE, SIDE, 3))
            for number, image in enumerate(images):
                Image.fromarray(image // (2 - place)).save(folder / split / name / f"{number:02d}.png")
    return folder


@pytest.fixture(scope="module")
def run(pets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a discriminator with spectral norms."""
    return train(pets, tmp_path_factory.mktemp("runs") / "pets", arch="resnet", loss="hinge")


def train(data: Path, out: Path, **changes: Any) -> Path:
    common = {"steps": 2, "batch_size": 8, "base_width": 4, "latent_dim": 8, "evaluate_every": 0}
    training_from_config(TrainingConfig(**{"data": str(data), "out": out, **common, **changes}))
    return out


@pytest.fixture(scope="module")
def scorers(run: Path) -> dict[str, Scorer]:
    return {scorer.kind: scorer for scorer in scorers_of(run)}


@pytest.fixture(scope="module")
def models(run: Path, scorers: dict[str, Scorer], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generator's bundle and those of its scorers."""
    folder = tmp_path_factory.mktemp("models")
    target = Target(models=folder, name="pets")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExportWarning)  # after two steps it ignores its labels
        export_run(run, target)
    for scorer in scorers.values():
        scorer.export(target)
    return folder


def images_of(folder: Path) -> Images:
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))])


@pytest.mark.parametrize("kind", ["discriminator", "classifier"])
def test_a_bundle_gives_the_numbers_that_pytorch_gives(kind: str, scorers: dict[str, Scorer], models: Path) -> None:
    images = sample_textures(9, 0, 40, (SIDE, SIDE, 3))
    with torch.inference_mode():
        expected = scorers[kind].network(torch.from_numpy(images)).numpy()
    with LocalGenerator(models / f"pets-{kind}" / "1") as source:
        scores = source.score(images)
        card = source.get_model().card
    assert is_scorer(card)
    assert [score.name for score in card.scores][1:] == list(CLASSES)
    np.testing.assert_allclose(np.stack(list(scores.all.values()), 1), expected, atol=1e-4)
    assert np.array_equal(scores.score, np.max([scores.all[name] for name in CLASSES], axis=0))


@pytest.mark.parametrize("kind", ["discriminator", "classifier"])
def test_quantiles_are_those_of_the_images_that_were_held_out(kind: str, pets: Path, models: Path) -> None:
    cats, dogs = (images_of(pets / "test" / name) for name in CLASSES)
    with LocalGenerator(models / f"pets-{kind}" / "1") as source:
        card = source.get_model().card
        of_all, of_cats, of_dogs = (source.score(images).all for images in (np.concatenate([cats, dogs]), cats, dogs))
    first, cat, dog = card.scores
    for score, values in ((first, of_all[first.name]), (cat, of_cats["cat"]), (dog, of_dogs["dog"])):
        np.testing.assert_allclose(score.quantiles, np.percentile(values, PERCENTS), rtol=1e-5, atol=1e-6)


def test_spectral_norms_are_folded_into_the_weights(scorers: dict[str, Scorer]) -> None:
    torch.manual_seed(0)
    discriminator = build_discriminator("resnet", ImageShape(8, 8, 3), num_classes=2, base_width=4, norm="spectral")
    images = torch.from_numpy(sample_textures(9, 0, 12, (SIDE, SIDE, 3)))
    discriminator.train()
    for _ in range(5):
        discriminator(from_levels(images), torch.zeros(12, dtype=torch.long))
    discriminator.eval()
    assert any("parametrizations" in name for name, _ in discriminator.named_parameters())
    with torch.inference_mode():
        expected = [discriminator(from_levels(images), torch.full((12,), label)) for label in range(2)]
        numbers = DiscriminatorScorer(discriminator)(images)
    torch.testing.assert_close(numbers[:, 1:], torch.stack(expected, dim=1))
    torch.testing.assert_close(numbers[:, 0], torch.stack(expected).amax(dim=0))
    for scorer in scorers.values():
        assert not any("parametrizations" in name for name, _ in scorer.network.named_parameters())


def test_the_bundles_choose_and_score(models: Path) -> None:
    with LocalGenerator(models / "pets" / "1") as source:
        for kind in ("discriminator", "classifier"):
            made = source.generate(4, seed=1, best_of=4, scorer=f"pets-{kind}")
            assert made.percentiles["own_class"].shape == (4,)
        assert np.array_equal(
            source.generate(4, seed=1, best_of=4).numpy(),
            source.generate(4, seed=1, best_of=4, scorer="pets-classifier").numpy(),
        )
    card = inspect_bundle(models / "pets-classifier" / "1").card
    assert (card.architecture, card.loss) == ("classifier", "cross-entropy")
    assert 0 <= card.metrics["accuracy"] <= 1
    readme = (models / "pets-discriminator" / "1" / "README.md").read_text()
    assert "It takes `image`, uint8 (N, 8, 8, 3), and gives\n`scores`, float32 (N, 3)" in readme


def test_without_classes_there_is_no_classifier_and_without_held_out_images_no_quantiles(
    pets: Path, tmp_path: Path
) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in sorted((pets / "train" / "cat").glob("*.png")):
        (flat / path.name).write_bytes(path.read_bytes())
    run = train(flat, tmp_path / "run", arch="mlp", conditional=False)
    (scorer,) = scorers_of(run)
    assert scorer.kind == "discriminator"
    assert scorer.real is None
    with pytest.warns(ExportWarning, match="its numbers have no percentiles"):
        made = scorer.export(Target(models=tmp_path / "models", name="flat"))
    assert [(score.name, list(score.quantiles)) for score in inspect_bundle(made.folder).card.scores] == [
        ("realness", [])
    ]
    (with_test,) = scorers_of(run, test_data=str(pets / "test" / "dog"))
    assert with_test.real is not None
    assert len(with_test.real.images) == 15
    with pytest.raises(ConfigError, match="the run learnt from these images; give others"):
        scorers_of(run, test_data=str(flat))


class Sum(nn.Module):
    """A scorer of one's own."""

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.fault = fault

    def forward(self, image: Tensor) -> Tensor:
        floats = image.float().flatten(1) / 255
        if self.fault == "batch":
            floats = floats - floats.mean(dim=0)
        numbers = floats.sum(dim=1, keepdim=True)
        if self.fault == "not finite":
            numbers = (numbers - 1000).log()
        return numbers * 0 if self.fault == "constant" else numbers


def test_a_scorer_of_ones_own(tmp_path: Path) -> None:
    made = export_scorer(Sum(), scorer_card([]), Target(models=tmp_path, name="sum"))
    images = sample_textures(1, 0, 9, (6, 5, 3))
    with LocalGenerator(made.folder) as source:
        assert source.score(images).score == pytest.approx(images.reshape(9, -1).sum(1) / 255, rel=1e-5)


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("batch", "a number is another than in a batch of 1; it must not depend on the other images"),
        ("not finite", "the scorer itself gives numbers that are not finite"),
    ],
)
def test_what_is_no_function_of_the_image_is_refused(fault: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(ParityError, match=text):
        export_scorer(Sum(fault), scorer_card([]), Target(models=tmp_path, name="sum"))
    assert not list(tmp_path.iterdir())


def test_one_number_for_all_images_is_doubtful(tmp_path: Path) -> None:
    with pytest.warns(ExportWarning, match="it gives all images the same number"):
        export_scorer(Sum("constant"), scorer_card([]), Target(models=tmp_path, name="sum"))


def test_the_command_exports_them_beside_the_generator(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("export", str(run), "--onnx", "--models", str(tmp_path), "--name", "pets")
    assert main([*command, "--scorer"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pets-classifier", "pets-discriminator"]
    assert "pets-discriminator" in capsys.readouterr().out
    for flags, text in (
        (("--scorer", "--dtype", "fp16"), "--scorer goes with --dtype fp32"),
        (("--data", "elsewhere"), "--data and --test-data go with --scorer"),
        (("--test-data", "elsewhere"), "--data and --test-data go with --scorer"),
        (("--scorer", "--version", "1"), "pets-discriminator/1 exists; take another --version"),
    ):
        assert main([*command, *flags]) == 2
        assert text in capsys.readouterr().err
