from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from ganserve.client import LocalGenerator, Samples

MakeBundle = Callable[..., Path]

CLASSES = ["cat", "dog", "emu"]


class CountingSource:
    """A source that counts what it is asked for. Its images are those of a bundle.

    Attributes:
        indices: of every call.
        failures: what the next call for these first indices ends with.
    """

    def __init__(self, bundle: Path) -> None:
        self._generator = LocalGenerator(bundle)
        self.indices: list[list[int]] = []
        self.failures: dict[int, Exception] = {}

    def pinned(self) -> CountingSource:
        return self

    def generate(self, n: int | None = None, **arguments: Any) -> Samples:
        if failure := self.failures.pop(arguments.get("first_index", 0), None):
            raise failure
        samples = self._generator.generate(n, **arguments)
        self.indices.append(samples.indices.tolist())
        return samples

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_generator"], name)


class Labelled(Dataset[Any]):
    """Images with labels as torchvision's data sets have them.

    Attributes:
        num_read: how many items were read.
    """

    def __init__(self, images: Any, labels: Any, classes: list[str] | None = None) -> None:
        self.images = images
        self.targets = labels
        self.num_read = 0
        if classes is not None:
            self.classes = classes

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, place: int) -> Any:
        self.num_read += 1
        return self.images[place], self.targets[place]


def pixels(count: int, shape: tuple[int, int, int] = (6, 5, 3)) -> Any:
    """Images (N, H, W, C) of which each begins with its own number."""
    images = np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)
    images[:, 0, 0, 0] = np.arange(count)
    return images


def number(image: torch.Tensor) -> int:
    """The number of one of those images."""
    return int(image[0, 0, 0])


@pytest.fixture(scope="session")
def bundle(make_bundle: MakeBundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A conditional generator of 6×5 RGB images of cats, dogs and emus."""
    return make_bundle(tmp_path_factory.mktemp("models"), "pets")


@pytest.fixture
def source(bundle: Path) -> Iterator[Any]:
    source = CountingSource(bundle)
    yield source
    source.close()


@pytest.fixture
def real() -> Labelled:
    """30 cats, 12 dogs and 5 emus."""
    labels = [0] * 30 + [1] * 12 + [2] * 5
    return Labelled(torch.from_numpy(pixels(47).transpose(0, 3, 1, 2)), labels, CLASSES)


@pytest.fixture
def nameless() -> TensorDataset:
    """The same, without names of classes."""
    labels = torch.tensor([0] * 30 + [1] * 12 + [2] * 5)
    return TensorDataset(torch.from_numpy(pixels(47).transpose(0, 3, 1, 2)), labels)
