"""Samples as a map-style data set."""

from __future__ import annotations

import copy
import subprocess
import sys
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import albumentations
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

from ganserve.client import AsyncClient, ConfigError, InvalidRequestError, LocalGenerator, PreconditionError
from ganserve.client.torch import SyntheticDataset
from ganserve.contract.card import LATENT_SCHEME
from ganserve.v1.model_pb2 import DatasetFingerprint, ImageShape, ModelCard

from .conftest import CLASSES, MakeBundle


class Scaled(nn.Module):
    """A transform of tensors, as torchvision's second version has them."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.flip(-1).float() / 255


def test_an_item_is_the_sample_of_its_index(source: Any) -> None:
    dataset = SyntheticDataset(source, 20, seed=3, labels="uniform", truncation=0.7, spread=1.25)
    expected = source.generate(20, seed=3, labels="uniform", truncation=0.7, spread=1.25)
    images, labels = zip(*dataset, strict=True)
    assert torch.equal(torch.stack(images), expected.torch())
    assert list(labels) == expected.labels.tolist() == dataset.targets
    assert images[0].dtype == torch.uint8
    assert images[0].is_contiguous()
    assert all(type(label) is int for label in labels)


def test_a_batch_is_one_request(source: Any) -> None:
    dataset = SyntheticDataset(source, 20, seed=3)
    items = dataset.__getitems__([7, 3, 3, -1])
    assert source.indices == [[7, 3, 3, 19]]
    assert torch.equal(items[1][0], items[2][0])
    assert torch.equal(items[3][0], dataset[19][0])


def test_every_epoch_has_samples_of_its_own_and_can_be_repeated(source: Any) -> None:
    dataset = SyntheticDataset(source, 6, seed=3, first_index=100)
    for epoch in (0, 1, 5, 1):
        dataset.set_epoch(epoch)
        expected = source.generate(6, seed=3, first_index=100 + epoch * 6)
        assert torch.equal(torch.stack([image for image, _ in dataset]), expected.torch())
        assert dataset.targets == expected.labels.tolist()


def test_indices_of_64_bits(source: Any) -> None:
    dataset = SyntheticDataset(source, 2**60, seed=3)
    dataset.set_epoch(15)
    dataset[-1]
    assert source.indices == [[2**64 - 1]]
    with pytest.raises(InvalidRequestError, match=r"epoch 16 reaches index .*; begin with a new seed"):
        dataset.set_epoch(16)
    assert dataset.epoch == 15


def test_counts_say_the_length_and_hold_in_every_epoch(source: Any) -> None:
    dataset = SyntheticDataset(source, seed=3, counts={"emu": 5, "cat": 2})
    for epoch in range(3):
        dataset.set_epoch(epoch)
        assert dataset.targets == [2] * 5 + [0] * 2 == [label for _, label in dataset]


def test_classes_are_told_as_torchvision_does(source: Any) -> None:
    dataset = SyntheticDataset(source, 4, seed=3)
    assert dataset.classes == CLASSES
    assert dataset.class_to_idx == {"cat": 0, "dog": 1, "emu": 2}


def test_an_unconditional_generator_gives_images_alone(make_bundle: MakeBundle, tmp_path: Path) -> None:
    card = ModelCard(
        latent_dim=7,
        image=ImageShape(height=6, width=5, channels=1),
        architecture="linear",
        loss="none",
        dataset=DatasetFingerprint(name="pets"),
        latent_scheme=LATENT_SCHEME,
    )
    with LocalGenerator(make_bundle(tmp_path, card=card)) as source:
        dataset = SyntheticDataset(source, 4, seed=3)
        assert dataset[0].shape == (1, 6, 5)
        assert dataset.classes == []
        assert not hasattr(dataset, "targets")
        with pytest.raises(InvalidRequestError, match="is unconditional: it takes no labels"):
            SyntheticDataset(source, 4, seed=3, labels="balanced")


def test_images_of_other_kinds(source: Any) -> None:
    expected = source.generate(1, seed=3).numpy()[0]
    picture, _ = SyntheticDataset(source, 4, seed=3, images="pil")[0]
    assert isinstance(picture, Image.Image)
    assert picture.mode == "RGB"
    array, _ = SyntheticDataset(source, 4, seed=3, images="numpy")[0]
    assert array.shape == (6, 5, 3)
    assert (np.asarray(picture) == expected).all()
    assert (array == expected).all()


def test_transforms_of_tensors_and_of_albumentations(source: Any) -> None:
    plain, _ = SyntheticDataset(source, 4, seed=3)[0]
    scaled, _ = SyntheticDataset(source, 4, seed=3, transform=Scaled())[0]
    assert torch.equal(scaled, plain.flip(-1).float() / 255)
    flip = albumentations.Compose([albumentations.HorizontalFlip(p=1)])
    flipped, _ = SyntheticDataset(source, 4, seed=3, transform=flip)[0]
    assert (flipped == plain.flip(-1).permute(1, 2, 0).numpy()).all()
    with pytest.raises(ConfigError, match="transforms of albumentations take arrays"):
        SyntheticDataset(source, 4, seed=3, images="pil", transform=flip)


def test_an_image_keeps_no_other_alive(source: Any) -> None:
    image, _ = SyntheticDataset(source, 20, seed=3).__getitems__(range(20))[0]
    assert image.untyped_storage().nbytes() == 6 * 5 * 3


@pytest.mark.parametrize("persistent", [False, True])
def test_workers_follow_the_epoch(bundle: Path, persistent: bool) -> None:
    with LocalGenerator(bundle) as source:
        dataset = SyntheticDataset(source, 12, seed=3)
        loader = DataLoader(dataset, batch_size=5, num_workers=2, persistent_workers=persistent)
        for epoch in range(3):
            dataset.set_epoch(epoch)
            images = torch.cat([images for images, _ in loader])
            assert torch.equal(images, source.generate(12, seed=3, first_index=epoch * 12).torch())
        del loader


def test_a_copy_has_the_same_items_and_an_epoch_of_its_own(bundle: Path) -> None:
    with LocalGenerator(bundle) as generator:
        dataset = SyntheticDataset(generator, 12, seed=3)
        dataset.set_epoch(2)
        for other in (copy.deepcopy(dataset), ForkingPickler.loads(ForkingPickler.dumps(dataset))):
            assert torch.equal(other[5][0], dataset[5][0])
        other = copy.deepcopy(dataset)
        other.set_epoch(3)
        assert dataset.epoch == 2
        other.recipe.source.close()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_stateful_loader_goes_on_exactly(bundle: Path, num_workers: int) -> None:
    def begin() -> tuple[SyntheticDataset, Any]:
        dataset = SyntheticDataset(source, 40, seed=3)
        loader = StatefulDataLoader(
            dataset, batch_size=4, shuffle=True, num_workers=num_workers, generator=torch.Generator().manual_seed(1)
        )
        return dataset, loader

    with LocalGenerator(bundle) as source:
        dataset, loader = begin()
        dataset.set_epoch(5)
        batches = iter(loader)
        for _ in range(3):
            next(batches)
        saved = loader.state_dict()
        rest = [images for images, _ in batches]
        dataset, loader = begin()
        loader.load_state_dict(saved)
        resumed = [images for images, _ in loader]
        assert len(resumed) == 7
        assert torch.equal(torch.cat(resumed), torch.cat(rest))


def test_a_state_of_other_samples_is_refused(source: Any) -> None:
    saved = SyntheticDataset(source, 40, seed=3).state_dict()
    with pytest.raises(ConfigError, match=r"saved with another seed \(3\) than the data set has \(4\)"):
        SyntheticDataset(source, 40, seed=4).load_state_dict(saved)
    with pytest.raises(ConfigError, match="another length"):
        SyntheticDataset(source, 41, seed=3).load_state_dict(saved)
    with pytest.raises(ConfigError, match=r"another first_index \(0\) than the data set has \(500\)"):
        SyntheticDataset(source, 40, seed=3, first_index=500).load_state_dict(saved)


@pytest.mark.parametrize("saved", [None, 5, "state", {}, {"_snapshot": {}}])
def test_what_is_no_state_is_refused(source: Any, saved: Any) -> None:
    with pytest.raises(ConfigError, match="there is no state of a data set in what was loaded"):
        SyntheticDataset(source, 40, seed=3).load_state_dict(saved)


def test_a_loader_with_another_number_of_workers_says_that_it_cannot_go_on(bundle: Path) -> None:
    with LocalGenerator(bundle) as source:
        dataset = SyntheticDataset(source, 40, seed=3)
        loader = StatefulDataLoader(dataset, batch_size=4, num_workers=2)
        next(iter(loader))
        saved = loader.state_dict()
        loader = StatefulDataLoader(dataset, batch_size=4, num_workers=1)
        loader.load_state_dict(saved)
        with pytest.raises(ConfigError, match="saved with num_workers=2, and this loader has 1; a map-style data set"):
            next(iter(loader))


def test_another_model_is_not_taken_for_the_first(make_bundle: MakeBundle, tmp_path: Path, source: Any) -> None:
    dataset = SyntheticDataset(source, 4, seed=3)
    with LocalGenerator(make_bundle(tmp_path, "pets", 2)) as other:
        source._generator = other
        with pytest.raises(PreconditionError, match=r"begun with pets:1@.*, and now pets:2@.* answers"):
            dataset[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 0}, "length is 0; it must be at least 1"),
        ({"length": None}, "length is None; give a whole number"),
        ({"seed": None}, "give a seed"),
        ({"seed": -1}, "seed is -1"),
        ({"labels": "cow"}, "there is no class 'cow'"),
        ({"truncation": 0.0}, "truncation"),
        ({"spread": 0.0}, "spread"),
        ({"first_index": 2**64}, "first_index"),
        ({"labels": "cat", "counts": {"cat": 1}}, "labels and counts both say which classes"),
        ({"counts": {"cat": 3, "dog": 4}}, "length is 5, and the counts add up to 7; leave length out"),
    ],
)
def test_arguments_that_cannot_be(source: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        SyntheticDataset(source, **{"length": 5, "seed": 3, **arguments})


def test_forms_and_sources_that_cannot_be(source: Any) -> None:
    with pytest.raises(ConfigError, match="images is 'jax'; give one of 'tensor', 'pil', 'numpy'"):
        SyntheticDataset(source, 5, seed=3, images="jax")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="transform is 3"):
        SyntheticDataset(source, 5, seed=3, transform=3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="give a Client"):
        SyntheticDataset(AsyncClient("h:1", model="m"), 5, seed=3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="is no source of samples"):
        SyntheticDataset("digits", 5, seed=3)  # type: ignore[arg-type]


def test_places_beyond_the_end(source: Any) -> None:
    dataset = SyntheticDataset(source, 5, seed=3)
    for place in (5, -6):
        with pytest.raises(IndexError, match="of a data set of 5"):
            dataset[place]
    with pytest.raises(InvalidRequestError, match="epoch is -1"):
        dataset.set_epoch(-1)


def test_without_pytorch_the_module_says_what_to_install() -> None:
    code = "import sys; sys.modules['torch'] = None; import ganserve.client.torch"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ganserve.client.torch needs PyTorch; " in done.stderr.splitlines()[-1]
    assert ".[torch]" in done.stderr


def test_an_option_that_a_local_generator_does_not_take_is_named_by_its_method(bundle: Path) -> None:
    with LocalGenerator(bundle) as generator:
        for method, size in ((generator.submit, 1), (generator.batches, 1)):
            says = rf"^LocalGenerator.{method.__name__}\(\) got an unexpected keyword argument 'timeout_s'$"
            with pytest.raises(TypeError, match=says):
                method(size, timeout_s=2)  # type: ignore[call-arg]
