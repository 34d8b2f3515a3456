"""Data sets of chosen and transformed samples, and of real images that a translator transforms on their way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from ganserve.client import ConfigError, DatasetError, InvalidRequestError, LocalGenerator
from ganserve.client.torch import SyntheticDataset, SyntheticStream, Transformed, mix
from ganserve.v1.bundle_pb2 import Parity

from ....scorers import SHAPE, make_scorer
from ....translators import make_translator
from .conftest import Labelled, MakeBundle, pixels

CHAIN: dict[str, Any] = {"best_of": 3, "then": "blur2x"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, tiny_parity: Parity, make_bundle: MakeBundle) -> Path:
    folder = tmp_path_factory.mktemp("models")
    make_bundle(folder, "pets")
    make_scorer(folder, tiny_parity, "pets-classifier")
    make_scorer(folder, tiny_parity, "other", version=2)
    make_translator(folder, tiny_parity, tile=SHAPE[:2], is_tiled=False)
    return folder


@pytest.fixture
def source(models: Path) -> Iterator[LocalGenerator]:
    with LocalGenerator(models / "pets" / "1") as source:
        yield source


@pytest.fixture
def translator(models: Path) -> Iterator[LocalGenerator]:
    with LocalGenerator(models / "blur2x" / "1") as source:
        yield source


def test_items_are_the_chosen_and_transformed_samples(source: LocalGenerator) -> None:
    expected = source.generate(20, seed=3, labels="uniform", **CHAIN)
    dataset = SyntheticDataset(source, 20, seed=3, labels="uniform", **CHAIN)
    images, labels = zip(*dataset, strict=True)
    assert torch.equal(torch.stack(images), expected.torch())
    assert images[0].shape == (3, 12, 10)
    assert expected.labels is not None
    assert list(labels) == expected.labels.tolist() == dataset.targets
    assert dataset.recipe.shape == expected.shape == (12, 10, 3)


def test_a_stream_has_them_too(source: LocalGenerator) -> None:
    expected = source.generate(10, seed=3, **CHAIN)
    stream = SyntheticStream(source, 10, seed=3, batch_size=4, **CHAIN)
    assert torch.equal(torch.stack([image for image, _ in stream]), expected.torch())


def test_the_models_are_pinned_when_the_data_set_is_made(source: LocalGenerator) -> None:
    dataset = SyntheticDataset(source, 4, seed=3, **CHAIN)
    made = source.generate(1, seed=3, **CHAIN)
    assert made.scorer is not None
    assert dataset.recipe.chain == {
        "best_of": 3,
        "scorer": f"pets-classifier:1@{made.scorer.digest}",
        "then": [f"blur2x:1@{made.then[0].digest}"],
    }
    assert SyntheticDataset(source, 4, seed=3).recipe.chain == {}


@pytest.mark.parametrize(
    "other", [{"best_of": 3}, {"best_of": 4}, {"best_of": 3, "scorer": "other"}, {"then": "blur2x"}, {}]
)
def test_a_state_goes_on_with_the_same_models_alone(source: LocalGenerator, other: dict[str, Any]) -> None:
    stream = SyntheticStream(source, 40, seed=3, batch_size=4, **CHAIN)
    taken = iter(stream)
    for _ in range(5):
        next(taken)
    state = stream.state_dict()
    again = SyntheticStream(source, 40, seed=3, batch_size=4, **CHAIN)
    again.load_state_dict(state)
    assert torch.equal(next(iter(again))[0], next(taken)[0])
    with pytest.raises(ConfigError, match="the state was saved with another"):
        SyntheticStream(source, 40, seed=3, batch_size=4, **other).load_state_dict(state)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"best_of": 1}, "best_of is 1"),
        ({"scorer": "other"}, "give best_of too"),
        ({"then": "pets"}, "give translators"),
    ],
)
def test_what_cannot_be_chained_is_told_when_the_data_set_is_made(
    source: LocalGenerator, options: dict[str, Any], text: str
) -> None:
    for make in (
        lambda: SyntheticDataset(source, 4, seed=1, **options),
        lambda: SyntheticStream(source, seed=1, **options),
    ):
        with pytest.raises(InvalidRequestError, match=text):
            make()


def test_a_mix_brings_them_to_the_shape_of_real_images(source: LocalGenerator) -> None:
    real = Labelled(
        torch.from_numpy(pixels(12, (12, 10, 3)).transpose(0, 3, 1, 2)), [0, 1, 2] * 4, ["cat", "dog", "emu"]
    )
    mixed = mix(real, source, seed=1, ratio=0.5, flag=True, **CHAIN)
    items = [mixed[place] for place in range(len(mixed))]
    assert {tuple(image.shape) for image, *_ in items} == {(3, 12, 10)}
    synthetic = [(image, label) for image, label, is_synthetic in items if is_synthetic]
    assert len(synthetic) == len(items) - 12 > 0
    expected = source.generate(12, seed=1, labels=[0, 1, 2], **CHAIN)
    made = {image.numpy().tobytes() for image in expected.torch()}
    assert all(image.numpy().tobytes() in made for image, _ in synthetic)


class Mappings(Dataset[Any]):
    """Items as Hugging Face's data sets have them."""

    def __init__(self, images: Any) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, place: int) -> dict[str, Any]:
        return {"picture": Image.fromarray(self._images[place]), "label": place % 3, "source": f"{place}.png"}


@pytest.fixture
def images() -> Any:
    return pixels(10)


@pytest.fixture
def transformed(images: Any, translator: LocalGenerator) -> Any:
    """What is to come of them."""
    return np.stack(list(translator.transform(list(images))))


def test_real_images_are_transformed_and_all_else_stays(
    images: Any, transformed: Any, translator: LocalGenerator
) -> None:
    real = Labelled(torch.from_numpy(images.transpose(0, 3, 1, 2)), [0, 1] * 5, ["cat", "dog"])
    dataset = Transformed(real, translator)
    assert len(dataset) == 10
    assert (dataset.targets, dataset.classes) == (real.targets, ["cat", "dog"])
    for place, (image, label) in enumerate(dataset[place] for place in range(10)):
        assert torch.equal(image, torch.from_numpy(transformed[place].transpose(2, 0, 1)))
        assert label == place % 2
    with pytest.raises(AttributeError):
        _ = dataset.nothing_of_the_kind


def test_mappings_keep_their_keys(images: Any, transformed: Any, translator: LocalGenerator) -> None:
    dataset = Transformed(Mappings(images), translator, images="numpy", image_key="picture")
    items = dataset.__getitems__([7, 2])
    assert [(item["label"], item["source"]) for item in items] == [(1, "7.png"), (2, "2.png")]
    assert np.array_equal(items[0]["picture"], transformed[7])
    assert np.array_equal(items[1]["picture"], transformed[2])


def test_a_transform_sees_transformed_images(images: Any, transformed: Any, translator: LocalGenerator) -> None:
    real = Labelled(torch.from_numpy(images.transpose(0, 3, 1, 2)), [0] * 10)
    dataset = Transformed(real, translator, images="pil", transform=lambda image: np.asarray(image).mean())
    assert dataset[4] == (pytest.approx(transformed[4].mean()), 0)


def test_a_worker_loads_batches_of_them(images: Any, transformed: Any, translator: LocalGenerator) -> None:
    real = Labelled(torch.from_numpy(images.transpose(0, 3, 1, 2)), list(range(10)))
    loader = DataLoader(Transformed(real, translator), batch_size=4, num_workers=1, timeout=60)
    batches = list(loader)
    assert torch.equal(torch.cat([batch for batch, _ in batches]), torch.from_numpy(transformed.transpose(0, 3, 1, 2)))
    assert torch.cat([labels for _, labels in batches]).tolist() == list(range(10))


def test_what_cannot_be_transformed_is_told(source: LocalGenerator, translator: LocalGenerator) -> None:
    large = Labelled(torch.zeros(2, 3, 9, 9, dtype=torch.uint8), [0, 1])
    with pytest.raises(DatasetError, match=r"real images cannot be transformed: .*9×9"):
        Transformed(large, translator)[0]
    with pytest.raises(DatasetError, match="real images cannot be transformed: this model is a generator"):
        Transformed(Labelled(torch.zeros(2, 3, 6, 5, dtype=torch.uint8), [0, 1]), source)[0]
    with pytest.raises(ConfigError, match="transforms nothing; give a Client or a LocalGenerator of a translator"):
        Transformed(large, "blur2x")  # type: ignore[arg-type]
