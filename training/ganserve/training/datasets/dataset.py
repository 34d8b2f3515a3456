"""The one shape in which real images reach the trainer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ganserve.contract.errors import DatasetError

OnProgress = Callable[[int, int], None]
"""Told how many images are decoded, and of how many."""


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Images, and one label each where there are classes.

    Attributes:
        images: uint8 (N, H, W, C), C-contiguous, C 1 (greyscale) or 3 (RGB).
        labels: int64 (N,), each an index into `class_names`; None where the source has no classes.
        class_names: one name a class, in label order; empty where `labels` is None.
        name: short name of the source, such as `digits`.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64] | None
    class_names: tuple[str, ...]
    name: str

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.shape[3] not in (1, 3):
            raise DatasetError(f"{self.name}: images of shape {self.images.shape}, not (N, H, W, 1 or 3)")
        if len(self.images) == 0:
            raise DatasetError(f"{self.name}: there are no images in it; add some")
        if self.labels is not None and len(self.labels) != len(self.images):
            raise DatasetError(f"{self.name}: {len(self.images)} images but {len(self.labels)} labels")

    @property
    def num_classes(self) -> int:
        """Number of classes; 0 where there are none."""
        return len(self.class_names)

    @cached_property
    def digest(self) -> str:
        """SHA-256, as lower-case hex, over N, H, W and C (uint64), the pixels, and the labels (int64) if any.

        Numbers are little-endian. Names do not count: the same pictures under another name are the same data.
        """
        sha256 = hashlib.sha256(np.asarray(self.images.shape, dtype="<u8").tobytes())
        sha256.update(np.ascontiguousarray(self.images).data)
        if self.labels is not None:
            sha256.update(self.labels.astype("<i8").tobytes())
        return sha256.hexdigest()
