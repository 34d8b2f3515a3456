"""Pictures of three classes, sources that draw them well or badly, and studies of a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
import torch

from ganserve.augment_eval.classifiers import small_cnn
from ganserve.augment_eval.images import RealImages
from ganserve.augment_eval.records import Records
from ganserve.augment_eval.samples import SamplePool, match_classes
from ganserve.augment_eval.settings import Settings
from ganserve.augment_eval.sizes import num_samples_of_class, sizes_of
from ganserve.augment_eval.study import Study
from ganserve.client import ModelInfo, Samples, SampleSource
from ganserve.training.datasets import ImageDataset
from ganserve.v1.model_pb2 import DatasetFingerprint, ImageShape, ModelCard, ModelIdentity, ServedModel

NAMES = ("top", "middle", "below")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Tiny tensors are faster on one thread."""
    torch.set_num_threads(1)


def draw_bars(labels: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Images 8×8 with a faint bar that says the class: on top, in the middle, or below."""
    images = rng.integers(0, 120, (len(labels), 8, 8, 1), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[3 * label : 3 * label + 2] += np.uint8(110)
    return images


def bars(counts: Sequence[int], seed: int = 0) -> ImageDataset:
    """So many of each class."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    return ImageDataset(draw_bars(labels, rng), labels, NAMES[: len(counts)], "bars")


class BarSource:
    """Draws the bars: a sample is a function of seed and index. `wrong` maps the label that is asked for to another."""

    def __init__(
        self,
        names: Sequence[str] = NAMES,
        *,
        digest: str = "0" * 64,
        wrong: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.int64]] = lambda labels: labels,
        warnings: Sequence[str] = (),
    ) -> None:
        self.names = tuple(names)
        self.wrong = wrong
        self.num_drawn = 0
        card = ModelCard(
            latent_dim=4,
            image=ImageShape(height=8, width=8, channels=1),
            class_names=names,
            dataset=DatasetFingerprint(name="bars", digest=digest, num_images=30),
            warnings=warnings,
        )
        self.model = ServedModel(identity=ModelIdentity(name="bars", version=1, digest="ab" * 32), card=card)

    def pinned(self) -> BarSource:
        return self

    def get_model(self) -> ModelInfo:
        return ModelInfo(self.model)

    def generate(self, n: int | None = None, *, seed: int | None = None, **_: Any) -> Samples:
        return self._samples(seed or 0, np.arange(n or 1), np.zeros(n or 1, np.int64))

    def stream(
        self, n: int | None = None, *, seed: int | None = None, labels: Any = None, **_: Any
    ) -> Iterator[Samples]:
        indices = np.arange(n or 0)
        asked = np.asarray(labels, np.int64)[indices % len(labels)]
        for first in range(0, len(indices), 7):
            part = slice(first, first + 7)
            yield self._samples(seed or 0, indices[part], asked[part])

    def _samples(self, seed: int, indices: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> Samples:
        self.num_drawn += len(indices)
        known = np.array([NAMES.index(name) if name in NAMES else 0 for name in self.names])
        pixels = [
            draw_bars(self.wrong(known[labels[place : place + 1]]), np.random.default_rng((9, seed, int(index))))
            for place, index in enumerate(indices)
        ]
        return Samples(
            model=self.model.identity,
            seed=seed,
            indices=indices.astype(np.uint64),
            shape=(8, 8, 1),
            labels=labels,
            _pixels=np.concatenate(pixels),
        )


@pytest.fixture
def quick() -> Settings:
    """Enough to tell the bars apart."""
    return Settings(ratios=(0.5, 1.0), num_steps=12, batch_size=16, learning_rates=(0.01,))


def pool_of(source: BarSource, known: dict[int, int], num_of_class: int) -> SamplePool:
    """A pool of the samples of such a source, which has those methods of one that are called here."""
    return SamplePool(cast("SampleSource", source), known, (8, 8, 1), num_of_class)


MakeStudy = Callable[..., Study]


@pytest.fixture
def make_study(tmp_path: Path, quick: Settings) -> MakeStudy:
    """A study of imbalanced bars."""

    def make(
        source: BarSource | None = None,
        settings: Settings = quick,
        *,
        counts: Sequence[int] = (20, 10, 5),
        path: Path = tmp_path / "found.json",
    ) -> Study:
        source = source or BarSource()
        training, test = bars(counts), bars([20] * len(counts), seed=1)
        real = RealImages(training, test, training.digest)
        known = match_classes(training.class_names, source.get_model())
        sizes = sizes_of(real, settings, num_known=len(known))
        has_samples = [label in known for label in range(len(counts))]
        pool = pool_of(source, known, num_samples_of_class(sizes, settings.ratios, has_samples))
        return Study(
            real=real,
            pool=pool,
            settings=settings,
            records=Records(path, settings.that_count(), len(test.images)),
            make=lambda: small_cnn(len(counts), 1, (8, 8)),
            device=torch.device("cpu"),
        )

    return make
