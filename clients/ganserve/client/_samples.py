"""Samples as a client hands them out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganserve.contract.errors import ServerError
from ganserve.contract.images import Images, decode, encode, is_raw, make_contact_sheet, to_pil
from ganserve.contract.tensors import unpack_pixels
from ganserve.v1.generator_pb2 import ImageEncoding, ImageFormat, SampleBatch
from ganserve.v1.model_pb2 import ModelIdentity

_MOST_IN_NOTEBOOK = 64


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Samples:
    """Consecutive samples and everything needed to make them again.

    Has a length, iterates over images, and is indexed like the array that `numpy` gives.

    Attributes:
        model: name, version and digest of the model that made them.
        seed: the seed, given or drawn; None for explicit latents.
        first_index: index of the first sample; for explicit latents, its row.
        shape: height, width and channels of an image.
        labels: int64 (N,); None for an unconditional generator.
        files: one image file a sample, where the samples were asked for as PNG, JPEG or WebP; else empty.
    """

    model: ModelIdentity
    seed: int | None
    first_index: int
    shape: tuple[int, int, int]
    labels: NDArray[np.int64] | None
    files: Sequence[bytes] = ()
    _pixels: Images | None = field(default=None)

    @classmethod
    def from_batch(cls, batch: SampleBatch) -> Samples:
        """Reads a reply. Raises ServerError where its parts do not fit together."""
        files = tuple(batch.files)
        raw = is_raw(ImageEncoding(format=batch.format))
        if not raw and len(files) != batch.count:
            raise ServerError(f"the reply holds {len(files)} files for {batch.count} samples")
        if batch.labels and len(batch.labels) != batch.count:
            raise ServerError(f"the reply holds {len(batch.labels)} labels for {batch.count} samples")
        return cls(
            model=batch.model,
            seed=batch.seed if batch.HasField("seed") else None,
            first_index=batch.first_index,
            shape=(batch.image.height, batch.image.width, batch.image.channels),
            labels=np.array(batch.labels, np.int64) if batch.labels else None,
            files=files,
            _pixels=unpack_pixels(batch).copy() if raw else None,
        )

    @classmethod
    def join(cls, parts: Sequence[Samples]) -> Samples:
        """Samples that follow one another, at least one part, as one."""
        if len(parts) == 1:
            return parts[0]
        first = parts[0]
        pixels = [part._pixels for part in parts if part._pixels is not None]
        labels = [part.labels for part in parts if part.labels is not None]
        return cls(
            model=first.model,
            seed=first.seed,
            first_index=first.first_index,
            shape=first.shape,
            labels=np.concatenate(labels) if labels else None,
            files=tuple(file for part in parts for file in part.files),
            _pixels=np.concatenate(pixels) if pixels else None,
        )

    def between(self, start: int, stop: int) -> Samples:
        """Samples at positions `start … stop - 1`. Shares its arrays with these."""
        return Samples(
            model=self.model,
            seed=self.seed,
            first_index=self.first_index + start,
            shape=self.shape,
            labels=None if self.labels is None else self.labels[start:stop],
            files=self.files[start:stop],
            _pixels=None if self._pixels is None else self._pixels[start:stop],
        )

    @property
    def indices(self) -> NDArray[np.uint64]:
        """Index of every sample under its seed, uint64 (N,); for explicit latents, its row."""
        return np.uint64(self.first_index) + np.arange(len(self), dtype=np.uint64)

    def numpy(self) -> Images:
        """uint8 (N, height, width, channels): the samples' own array, not a copy. Files are decoded once.

        Raises:
            ArtifactError: a file that is not a readable image.
        """
        return self._images

    def pil(self) -> list[Image.Image]:
        """One PIL image a sample, mode L or RGB. Raises ArtifactError as `numpy` does."""
        return [to_pil(image) for image in self]

    def grid(self, columns: int | None = None) -> Image.Image:
        """All samples row by row in one PIL image, small ones enlarged; without `columns`, about as wide as high."""
        return to_pil(make_contact_sheet(self.numpy(), columns))

    def __len__(self) -> int:
        return len(self.files) if self._pixels is None else len(self._pixels)

    def __iter__(self) -> Iterator[Images]:
        return iter(self.numpy())

    def __getitem__(self, key: int | slice | NDArray[np.integer] | NDArray[np.bool_]) -> Images:
        """One image (height, width, channels), or several (…, height, width, channels)."""
        return self.numpy()[key]

    def __repr__(self) -> str:
        height, width, channels = self.shape
        model = f"{self.model.name}:{self.model.version}@{self.model.digest[:12]}"
        seed = "explicit latents" if self.seed is None else f"seed {self.seed}"
        last_index = self.first_index + len(self) - 1
        return f"<Samples {self.first_index}–{last_index} of {seed}, {height}×{width}×{channels}, by {model}>"

    def _repr_png_(self) -> bytes:
        """What a notebook shows: the first samples as a grid."""
        grid = make_contact_sheet(self.numpy()[:_MOST_IN_NOTEBOOK])
        return encode(grid, ImageEncoding(format=ImageFormat.IMAGE_FORMAT_PNG))

    @cached_property
    def _images(self) -> Images:
        if self._pixels is not None:
            return self._pixels
        return np.stack([decode(file, self.shape[2]) for file in self.files])
