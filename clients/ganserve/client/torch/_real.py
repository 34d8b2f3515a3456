"""Real images of whatever data set, with the labels of all of them known beforehand."""

from __future__ import annotations

import operator
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch.utils.data import ConcatDataset, Subset, TensorDataset

from ganserve.contract.errors import DatasetError

_LABEL_ATTRIBUTES: Final = ("targets", "labels")


class RealImages:
    """A map-style data set whose items are ``(image, label)``, or mappings with a key for each.

    Attributes:
        labels: of every item, int64 (N,).
        class_names: names of the labels, where the data set tells them.
        gives_mappings: whether its items are mappings.
    """

    def __init__(self, dataset: Any, *, image_key: str, label_key: str) -> None:
        """Finds the labels, where it can without reading the images, and reads one item.

        Raises:
            DatasetError: no such data set, or labels that are not whole numbers from 0.
        """
        if isinstance(dataset, Mapping) or not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
            raise DatasetError(f"{type(dataset).__name__} is not map-style: it has no items to be asked for by number")
        if not len(dataset):
            raise DatasetError("the real data set is empty")
        self._dataset = dataset
        self._keys = image_key, label_key
        first = dataset[0]
        self.gives_mappings = isinstance(first, Mapping)
        self.labels = self._find_labels()
        self.class_names = _find_class_names(dataset, label_key)
        self._check(first)

    def __len__(self) -> int:
        return len(self.labels)

    def images(self, places: Sequence[int]) -> list[Any]:
        """The images at these places, read at once where the data set can."""
        if not places:
            return []
        read = getattr(self._dataset, "__getitems__", None)
        items = read(list(places)) if callable(read) else [self._dataset[place] for place in places]
        return [self._split(item, place)[0] for item, place in zip(items, places, strict=True)]

    def counts(self, num_classes: int) -> list[int]:
        """Images of each class."""
        return np.bincount(self.labels, minlength=num_classes).tolist()  # type: ignore[no-any-return]

    def _find_labels(self) -> NDArray[np.int64]:
        labels = _known_labels(self._dataset, self._keys[1])
        if labels is None:
            labels = self._read_labels()
        if hasattr(labels, "tolist"):
            labels = labels.tolist()
        try:
            return np.array([_whole_number(label) for label in labels], np.int64)
        except (TypeError, ValueError) as error:
            raise DatasetError(f"the labels of the real data set are not whole numbers from 0: {error}") from None

    def _read_labels(self) -> list[Any]:
        """From the items, all of which are read once."""
        console = Console(stderr=True)
        places = track(
            range(len(self._dataset)),
            "Reading the labels of real images",
            console=console,
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        return [self._split(self._dataset[place], place)[1] for place in places]

    def _split(self, item: Any, place: int) -> tuple[Any, Any]:
        if isinstance(item, Mapping):
            lacking = [key for key in self._keys if key not in item]
            if lacking:
                raise DatasetError(
                    f"real item {place} has no {lacking[0]!r}, but {', '.join(map(repr, item))}; "
                    "name them by image_key and label_key"
                )
            return item[self._keys[0]], item[self._keys[1]]
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise DatasetError(
                f"real item {place} is a {type(item).__name__}, and not (image, label) or a mapping with a key for each"
            )
        return item[0], item[1]

    def _check(self, first: Any) -> None:
        if len(self.labels) != len(self._dataset):
            raise DatasetError(f"the real data set has {len(self._dataset)} items and {len(self.labels)} labels")
        label = _whole_number(self._split(first, 0)[1])
        if label != self.labels[0]:
            raise DatasetError(
                f"real item 0 has label {label}, and the data set's list of labels says {self.labels[0]}"
            )


def _known_labels(dataset: Any, label_key: str) -> Iterable[Any] | None:
    """The labels that a data set tells without reading its images; None where it does not."""
    if isinstance(dataset, Subset):
        labels = _known_labels(dataset.dataset, label_key)
        return None if labels is None else _picked(list(labels), dataset.indices)
    if isinstance(dataset, ConcatDataset):
        parts = [_known_labels(part, label_key) for part in dataset.datasets]
        return None if any(part is None for part in parts) else [label for part in parts for label in part or ()]
    if isinstance(dataset, TensorDataset):
        return dataset.tensors[1].tolist() if len(dataset.tensors) == 2 else None
    if hasattr(dataset, "features") and hasattr(dataset, "with_format"):  # of Hugging Face
        return dataset.with_format(None)[label_key][:] if label_key in dataset.features else None
    for name in _LABEL_ATTRIBUTES:
        labels = getattr(dataset, name, None)
        if labels is not None and hasattr(labels, "__len__") and len(labels) == len(dataset):
            change = getattr(dataset, "target_transform", None)
            return labels if change is None else [change(label) for label in labels]
    return None


def _picked(labels: list[Any], places: Iterable[int]) -> list[Any]:
    return [labels[place] for place in places]


def _find_class_names(dataset: Any, label_key: str) -> tuple[str, ...] | None:
    if isinstance(dataset, Subset):
        return _find_class_names(dataset.dataset, label_key)
    if isinstance(dataset, ConcatDataset):
        names = {_find_class_names(part, label_key) for part in dataset.datasets}
        return names.pop() if len(names) == 1 else None
    features = getattr(dataset, "features", None)
    if isinstance(features, Mapping):
        names_of_feature = getattr(features.get(label_key), "names", None)
        return None if names_of_feature is None else tuple(names_of_feature)
    classes = getattr(dataset, "classes", None)
    return None if classes is None else tuple(map(str, classes))


def _whole_number(label: Any) -> int:
    """A label as an int. Raises TypeError or ValueError."""
    number = operator.index(label.item() if hasattr(label, "item") else label)
    if number < 0:
        raise ValueError(f"there is {number}")
    return number
