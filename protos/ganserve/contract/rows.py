"""Rows: what a model is fed and what it makes, as named columns with one leading batch axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Rows:
    """N rows. Whoever passes them on need not know what a column means.

    Attributes:
        columns: arrays (N, …) by name, at least one; as inputs, just what ONNX Runtime is fed.
    """

    columns: Mapping[str, Column]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, selection: slice | NDArray[np.integer[Any]]) -> Self:
        """The rows of a slice, without a copy, or those of some positions."""
        return type(self)({name: column[selection] for name, column in self.columns.items()})

    def with_columns(self, columns: Mapping[str, Column]) -> Self:
        """The same rows with more columns."""
        return type(self)({**self.columns, **columns})

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """All rows of `parts`, which have the same columns, in order. One part is not copied."""
        if len(parts) == 1:
            return parts[0]
        return cls({name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns})
