"""The synthetic images of a study: drawn once for each seed, and shown by all arms and sizes."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from ganserve.client import ModelInfo, SampleSource
from ganserve.contract.errors import ConfigError, DatasetError
from ganserve.contract.images import Images, to_pil
from ganserve.contract.labels import list_names
from ganserve.training.datasets import Resize
from ganserve.training.waiting import OnProgress

_MOST_NAMES: Final = 10


def match_classes(class_names: Sequence[str], model: ModelInfo) -> dict[int, int]:
    """The generator's label of each real label whose class it knows; classes are matched by name.

    Raises:
        ConfigError: the generator draws no classes.
        DatasetError: it knows none of these.
    """
    if not model.class_names:
        raise ConfigError(
            f"{model.name}: the generator draws no classes, so nothing can learn them from its samples; take a "
            "conditional one"
        )
    labels = {name: label for label, name in enumerate(model.class_names)}
    known = {label: labels[name] for label, name in enumerate(class_names) if name in labels}
    if not known:
        ours, theirs = (list_names(names, _MOST_NAMES) for names in (class_names, model.class_names))
        raise DatasetError(
            f"the real images' classes are {ours}, and {model.name}'s {theirs}: "
            "none has the same name; rename the classes of the images, or take a generator of these"
        )
    return known


@dataclass(eq=False)
class SamplePool:
    """Samples by class, the same for a seed however many are asked for: number i of a class is always the same.

    Those that `source` gives in another size or with other channels are brought to the real images': scaled with
    Lanczos, grey to three equal channels, colour to grey by ITU-R 601. They lie in a temporary file, so that they may
    be more than fit in memory.
    """

    source: SampleSource
    known: dict[int, int]
    """The generator's label of each real label that it knows."""

    shape: tuple[int, int, int]
    """Of the real images, (height, width, channels)."""

    num_of_class: int
    """Samples of each class and seed."""

    _by_seed: dict[int, Images] = field(default_factory=dict, init=False)

    def draw(self, seeds: Sequence[int], on_progress: OnProgress | None = None) -> None:
        """Draws the samples of these seeds, but for those that are there. `on_progress` is told of samples."""
        missing = [seed for seed in seeds if seed not in self._by_seed]
        num_done, total = 0, len(missing) * self.num_of_seed
        for seed in missing:
            images = self._empty()
            by_number = images.swapaxes(0, 1)
            num_classes = len(self.known)
            for samples in self.source.stream(self.num_of_seed, seed=seed, labels=list(self.known.values())):
                # Sample i is number i // K of class i % K.
                index = samples.indices.astype(np.int64)
                by_number[index // num_classes, index % num_classes] = fitted(samples.numpy(), self.shape)
                num_done += len(samples)
                if on_progress is not None:
                    on_progress(num_done, total)
            self._by_seed[seed] = images

    def of_class(self, label: int, seed: int, count: int) -> Images:
        """The first `count` samples of a real label, uint8 (count, height, width, channels), drawn where it was not."""
        if count > self.num_of_class:
            raise ValueError(f"{count} samples of a class asked for, and the pool has {self.num_of_class}")
        self.draw([seed])
        return self._by_seed[seed][list(self.known).index(label), :count]

    @property
    def num_of_seed(self) -> int:
        """Samples that one seed draws."""
        return len(self.known) * self.num_of_class

    def _empty(self) -> Images:
        """uint8 (known classes, num_of_class, height, width, channels), in a file that goes with it."""
        with tempfile.TemporaryFile() as file:
            return np.memmap(file, np.uint8, "w+", shape=(len(self.known), self.num_of_class, *self.shape))


def fitted(images: Images, shape: tuple[int, int, int]) -> Images:
    """Images (N, h, w, c) in the shape (height, width, channels), as `SamplePool` tells it."""
    height, width, channels = shape
    if images.shape[1:] == shape:
        return images
    resize = Resize(height=height, width=width)
    pictures = (to_pil(image).convert("L" if channels == 1 else "RGB") for image in images)
    scaled = [np.asarray(resize.apply(picture)) for picture in pictures]
    fitting: npt.NDArray[np.uint8] = np.stack(scaled).reshape(-1, height, width, channels)
    return fitting
