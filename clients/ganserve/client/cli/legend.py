"""Which classes a command's samples are of, in a line for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ganserve.contract.text import counted

if TYPE_CHECKING:
    from ganserve.client._samples.samples import Samples

_MOST_LISTED: Final = 20


class Legend:
    """Takes note of the classes of samples as they come."""

    def __init__(self, class_names: Sequence[str], columns: int | None = None) -> None:
        """
        Args:
            class_names: the model's, in label order.
            columns: samples a row, where people will see them in rows.
        """
        self._class_names = class_names
        self._columns = columns
        self._counts = np.zeros(len(class_names), np.int64)
        self._labels: list[NDArray[np.int64]] = []

    def add(self, samples: Samples) -> None:
        """Counts samples that follow those before."""
        if samples.labels is None:
            return
        self._counts += class_counts(samples.labels, self._class_names)
        if self._columns is not None:
            self._labels.append(samples.labels)

    def text(self) -> str:
        """Which classes the samples are of, in a line; empty without classes."""
        if self._columns is None or not self._labels:
            return describe_counts(self._counts, self._class_names)
        return describe_grid(np.concatenate(self._labels), self._class_names, self._columns)


def class_counts(labels: NDArray[np.int64], class_names: Sequence[str]) -> NDArray[np.int64]:
    """How many samples each class has, int64 (number of classes,)."""
    return np.bincount(labels, minlength=len(class_names))


def describe_counts(counts: NDArray[np.int64], class_names: Sequence[str]) -> str:
    """Such as ``classes: cat (7), dog (6)``; empty without classes."""
    present = np.flatnonzero(counts).tolist()
    if not present:
        return ""
    if len(present) <= _MOST_LISTED:
        return "classes: " + ", ".join(f"{class_names[label]} ({counts[label]:,})" for label in present)
    fewest, most = counts[present].min(), counts[present].max()
    each = counted(int(most), "sample") if fewest == most else f"{fewest:,} to {most:,} samples"
    return f"classes: {len(present):,} of {len(class_names):,}, {each} each"


def describe_grid(labels: NDArray[np.int64], class_names: Sequence[str], columns: int) -> str:
    """Such as ``columns: cat, dog``, where each column or row has one class; otherwise as `describe_counts`."""
    by_column = {place: _only(labels[place::columns]) for place in range(min(columns, len(labels)))}
    by_row = {start: _only(labels[start : start + columns]) for start in range(0, len(labels), columns)}
    for kind, found in (("columns", by_column), ("rows", by_row)):
        held = [label for label in found.values() if label is not None]
        tells = len(set(held)) > 1 and len(found) < len(labels)
        if tells and len(held) == len(found) <= _MOST_LISTED:
            return f"{kind}: " + ", ".join(class_names[label] for label in held)
    return describe_counts(class_counts(labels, class_names), class_names)


def _only(labels: NDArray[np.int64]) -> int | None:
    """The label that all of them are; None where they differ."""
    return int(labels[0]) if (labels == labels[0]).all() else None
