"""The one shape in which real images reach the trainer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from ganserve.contract.errors import DatasetError

from .image_hashes import smallest_hashes

Split = Literal["train", "test"]

OnProgress = Callable[[int, int], None]
"""Told how much is done, and of how much. An image counts when its header is read and again when it is decoded; while a
URL is fetched, its bytes count."""


class RunningDigest:
    """The digest of a dataset whose images, (N, H, W, C) in all, come piece by piece and in order."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._sha256 = hashlib.sha256(np.asarray(shape, dtype="<u8").tobytes())

    def add(self, images: npt.NDArray[np.uint8]) -> None:
        """Takes the next images, uint8 (H, W, C) or (N, H, W, C)."""
        self._sha256.update(np.ascontiguousarray(images).data)

    def finish(self, labels: npt.NDArray[np.int64] | None) -> str:
        """The digest, once all images are in."""
        if labels is not None:
            self._sha256.update(labels.astype("<i8").tobytes())
        return self._sha256.hexdigest()


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Images, and one label each where there are classes.

    Attributes:
        images: uint8 (N, H, W, C), C-contiguous, C 1 (greyscale) or 3 (RGB).
        labels: int64 (N,), each an index into `class_names`; None where the source has no classes.
        class_names: one name a class, in label order; empty where `labels` is None.
        name: short name of the source, such as `digits`.
        skipped: the bad files that were left out, each with the reason; empty unless that was asked for.
        notes: what people should know of how the source was read, such as what was passed over; one line each.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64] | None
    class_names: tuple[str, ...]
    name: str
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

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
        return self.computed_digest()

    def computed_digest(self) -> str:
        """The digest of the images and labels as they are now, whatever it was known to be."""
        digest = RunningDigest(self.images.shape)
        digest.add(self.images)
        return digest.finish(self.labels)

    @cached_property
    def image_hashes(self) -> bytes:
        """A sketch of its images, by which others are looked up among them; see `smallest_hashes`."""
        return smallest_hashes(self.images)

    def with_notes(self, notes: tuple[str, ...]) -> Self:
        """This dataset with `notes` before its own, and what is known of it."""
        copy = replace(self, notes=(*notes, *self.notes)).with_known_digest(self.digest)
        return copy.with_known_hashes(self.image_hashes)

    def with_known_digest(self, digest: str) -> Self:
        """This dataset, which will not compute its digest because it is known to be `digest`."""
        vars(self)["digest"] = digest
        return self

    def with_known_hashes(self, image_hashes: bytes) -> Self:
        """This dataset, which will not compute its sketch because it is known to be `image_hashes`."""
        vars(self)["image_hashes"] = image_hashes
        return self
