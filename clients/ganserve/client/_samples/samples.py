"""Samples as a client hands them out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganserve.client._queries.chains import ChainArguments, further_name
from ganserve.contract.errors import ArtifactError, ConfigError, ServerError
from ganserve.contract.images import Images, decode, encode, is_raw, make_contact_sheet, to_pil
from ganserve.contract.tensors import unpack_pixels
from ganserve.contract.text import counted
from ganserve.v1.generator_pb2 import ImageEncoding, ImageFormat, SampleAddress, SampleBatch
from ganserve.v1.model_pb2 import ModelIdentity, Provenance

from .captions import caption, make_captioned_sheet

if TYPE_CHECKING:
    from ganserve.client.torch._images import Tensor

_MOST_IN_NOTEBOOK: Final = 64
_MOST_CLASSES_SHOWN: Final = 5

ClassNames = NDArray[np.str_]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Samples:
    """Samples and everything needed to make them again.

    Has a length, iterates over images, and is indexed like the array that `numpy` gives.

    Attributes:
        model: name, version and digest of the model that made them.
        seed: the seed, given or drawn; None for explicit latents.
        indices: index of every sample under its seed, uint64 (N,); for explicit latents, its row.
        shape: height, width and channels of an image.
        labels: int64 (N,); None for an unconditional generator.
        class_names: name of every sample's class, str (N,), so that ``samples[samples.class_names == "dog"]`` are the
            images of dogs; None for an unconditional generator.
        truncation: bound on the latents; None where there is none.
        spread: what the latents were multiplied by; None where nothing.
        best_of: of how many candidates each is the best; None where nothing was chosen.
        scorer: the model that chose them; None where nothing was chosen.
        then: the translators that they passed through.
        scores: the numbers that a scorer gave them, float32 (N,) by name; of chosen ones the number that chose them.
        percentiles: how many per cent of real images have a smaller number, float64 (N,) by name, where it is known.
        provenance: device and version of ONNX Runtime that made them, on which a pixel may depend; empty where a server
            does not tell, or where there were several.
        files: one image file a sample, where the samples were asked for as PNG, JPEG or WebP; else empty.
    """

    model: ModelIdentity
    seed: int | None
    indices: NDArray[np.uint64]
    shape: tuple[int, int, int]
    labels: NDArray[np.int64] | None
    class_names: ClassNames | None = None
    truncation: float | None = None
    spread: float | None = None
    best_of: int | None = None
    scorer: ModelIdentity | None = None
    then: tuple[ModelIdentity, ...] = ()
    scores: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    percentiles: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)
    files: Sequence[bytes] = ()
    _pixels: Images | None = field(default=None)

    @classmethod
    def from_batch(cls, batch: SampleBatch, asked: SampleAddress | None = None) -> Samples:
        """Reads a reply. Raises ServerError where its parts do not fit together.

        Args:
            batch: the reply.
            asked: what was asked for, which tells what a reply does not.
        """
        raw = is_raw(ImageEncoding(format=batch.format))
        _check_lengths(batch, raw)
        return cls(
            model=batch.model,
            seed=batch.seed if batch.HasField("seed") else None,
            indices=_indices(batch),
            shape=(batch.image.height, batch.image.width, batch.image.channels),
            labels=np.array(batch.labels, np.int64) if batch.labels else None,
            class_names=np.array(batch.class_names, np.str_) if batch.class_names else None,
            truncation=asked.truncation if asked and asked.HasField("truncation") else None,
            spread=batch.spread if batch.HasField("spread") else None,
            best_of=batch.best_of if batch.HasField("best_of") else None,
            scorer=batch.scorer if batch.HasField("scorer") else None,
            then=tuple(batch.then),
            scores={score.name: np.array(score.values, np.float32) for score in batch.scores},
            percentiles={score.name: np.array(score.percentiles) for score in batch.scores if score.percentiles},
            provenance=batch.provenance,
            files=tuple(batch.files),
            _pixels=_pixels(batch) if raw else None,
        )

    @classmethod
    def join(cls, parts: Sequence[Samples]) -> Samples:
        """Samples that follow one another, at least one part, as one."""
        if len(parts) == 1:
            return parts[0]
        first = parts[0]
        indices = np.concatenate([part.indices for part in parts])
        if first.seed is None:  # the rows of every request count from 0
            indices = np.arange(len(indices), dtype=np.uint64)
        alike = all(part.provenance == first.provenance for part in parts)
        return replace(
            first,
            indices=indices,
            provenance=first.provenance if alike else Provenance(),
            labels=_joined([part.labels for part in parts]),
            class_names=_joined([part.class_names for part in parts]),
            scores={name: np.concatenate([part.scores[name] for part in parts]) for name in first.scores},
            percentiles={
                name: np.concatenate([part.percentiles[name] for part in parts]) for name in first.percentiles
            },
            files=tuple(file for part in parts for file in part.files),
            _pixels=_joined([part._pixels for part in parts]),
        )

    @property
    def is_chained(self) -> bool:
        """Whether other models chose or transformed them."""
        return self.scorer is not None or bool(self.then)

    @property
    def chain(self) -> ChainArguments:
        """Arguments of `generate` that name these very models: `best_of`, `scorer` and `then`."""
        return ChainArguments(
            best_of=self.best_of,
            scorer=None if self.scorer is None else further_name(self.scorer),
            then=[further_name(model) for model in self.then] or None,
        )

    def between(self, start: int, stop: int) -> Samples:
        """Samples at positions `start … stop - 1`. Shares its arrays with these."""
        return replace(
            self,
            indices=self.indices[start:stop],
            labels=None if self.labels is None else self.labels[start:stop],
            class_names=None if self.class_names is None else self.class_names[start:stop],
            scores={name: values[start:stop] for name, values in self.scores.items()},
            percentiles={name: values[start:stop] for name, values in self.percentiles.items()},
            files=self.files[start:stop],
            _pixels=None if self._pixels is None else self._pixels[start:stop],
        )

    @property
    def first_index(self) -> int:
        """Index of the first sample; for explicit latents, its row."""
        return int(self.indices[0])

    def numpy(self) -> Images:
        """uint8 (N, height, width, channels): the samples' own array, not a copy. Files are decoded once.

        Raises:
            ArtifactError: a file that is not a readable image.
        """
        return self._images

    def torch(self, layout: Literal["NCHW", "NHWC"] = "NCHW") -> Tensor:
        """uint8 tensor of the samples' own memory, not a copy: (N, channels, height, width), or channels last.

        Channels come first by a view, which PyTorch calls the memory format channels_last; `contiguous()` moves them.

        Raises:
            ArtifactError: as `numpy` does.
            ConfigError: another layout, or PyTorch is not installed.
        """
        if layout not in ("NCHW", "NHWC"):
            raise ConfigError(f"layout is {layout!r}; give 'NCHW' or 'NHWC'")
        try:
            from ganserve.client.torch._images import to_tensor
        except ImportError as error:
            raise ConfigError(str(error)) from error
        images = to_tensor(self.numpy())
        return images.permute(0, 3, 1, 2) if layout == "NCHW" else images

    def pil(self) -> list[Image.Image]:
        """One PIL image a sample, mode L or RGB. Raises ArtifactError as `numpy` does."""
        return [to_pil(image) for image in self]

    def grid(self, columns: int | None = None, *, captions: bool = False) -> Image.Image:
        """All samples row by row in one PIL image, small ones enlarged.

        Args:
            columns: samples a row; without it, about as wide as high.
            captions: whether the class of each sample is written below it.

        Raises:
            ArtifactError: as `numpy` does.
            ConfigError: captions for samples of an unconditional generator.
        """
        if not captions:
            return to_pil(make_contact_sheet(self.numpy(), columns))
        if self.labels is None:
            raise ConfigError("the samples are of an unconditional generator, so there are no classes to write below")
        names = [""] * len(self) if self.class_names is None else self.class_names.tolist()
        texts = [caption(label, name) for label, name in zip(self.labels.tolist(), names, strict=True)]
        return to_pil(make_captioned_sheet(self.numpy(), texts, columns))

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Writes the samples, in full or not at all.

        Images in a folder, zip, tar or Parquet file carry their addresses, and those of a class lie in a folder of its
        own, as `ganserve train --data` reads them.

        Args:
            path: a folder, which is new or empty; ``.zip``; ``.npz`` for arrays; ``.png``, ``.jpg`` or ``.webp`` for
                one grid; ``.tar`` for WebDataset; or ``.parquet``. Files that are there are replaced.
            overwrite: whether samples that are in the folder are replaced.

        Raises:
            ArtifactError: it cannot be written.
            ConfigError: another suffix, or a folder that holds something else.
        """
        from .outputs import save_samples

        save_samples(self, str(path), overwrite)

    def __len__(self) -> int:
        return len(self.files) if self._pixels is None else len(self._pixels)

    def __iter__(self) -> Iterator[Images]:
        return iter(self.numpy())

    def __getitem__(self, key: int | slice | NDArray[np.integer] | NDArray[np.bool_]) -> Images:
        """One image (height, width, channels), or several (…, height, width, channels)."""
        return self.numpy()[key]

    def __repr__(self) -> str:
        model = f"{self.model.name}:{self.model.version}@{self.model.digest[:12]}"
        origin = "explicit latents" if self.seed is None else f"seed {self.seed}, {_span(self.indices)}"
        facts = (origin, _by(self.shape), *self._classes(), *self.passed())
        return f"<{counted(len(self), 'sample')} of {model}: {', '.join(facts)}>"

    def _repr_png_(self) -> bytes:
        """What a notebook shows: the first samples as a grid."""
        grid = make_contact_sheet(self.numpy()[:_MOST_IN_NOTEBOOK])
        return encode(grid, ImageEncoding(format=ImageFormat.IMAGE_FORMAT_PNG))

    def _classes(self) -> Iterator[str]:
        if self.labels is None:
            return
        of_samples = self.labels if self.class_names is None else self.class_names
        distinct = list(dict.fromkeys(of_samples.tolist()))
        if len(distinct) == 1:
            yield f"class {distinct[0]!r}"
        elif len(distinct) <= _MOST_CLASSES_SHOWN:
            yield f"classes {', '.join(map(repr, distinct))}"
        else:
            yield f"{len(distinct)} classes"

    def passed(self) -> Iterator[str]:
        """The other models that they passed, for people, such as ``the best of 4 each by pets-classifier:1``."""
        if self.scorer is not None:
            yield f"the best of {self.best_of} each by {self.scorer.name}:{self.scorer.version}"
        yield from (f"then {model.name}:{model.version}" for model in self.then)

    @cached_property
    def _images(self) -> Images:
        if self._pixels is not None:
            return self._pixels
        images = [decode(file, self.shape[2]) for file in self.files]
        other = next((image.shape for image in images if image.shape != self.shape), None)
        if other is not None:
            raise ArtifactError(f"the reply holds a file of {_by(other)} pixels where its images are {_by(self.shape)}")
        return np.stack(images)


def _check_lengths(batch: SampleBatch, raw: bool) -> None:
    if not raw and len(batch.files) != batch.count:
        raise ServerError(f"the reply holds {counted(len(batch.files), 'file')} for {counted(batch.count, 'sample')}")
    of_samples: tuple[tuple[str, Sized], ...] = (
        ("labels", batch.labels),
        ("class names", batch.class_names),
        ("indices", batch.indices),
    )
    of_scores = ((f"numbers of {score.name}", score.values) for score in batch.scores)
    told = ((f"percentiles of {score.name}", score.percentiles) for score in batch.scores if score.percentiles)
    for name, values in (*((name, values) for name, values in of_samples if values), *of_scores, *told):
        if len(values) != batch.count:
            raise ServerError(f"the reply holds {len(values)} {name} for {counted(batch.count, 'sample')}")


def _pixels(batch: SampleBatch) -> Images:
    """uint8 (N, height, width, channels); of a scorer, images without a pixel."""
    if not batch.HasField("image"):
        return np.empty((batch.count, 0, 0, 0), np.uint8)
    return unpack_pixels(batch).copy()


def _indices(batch: SampleBatch) -> NDArray[np.uint64]:
    if batch.indices:
        return np.array(batch.indices, np.uint64)
    return np.uint64(batch.first_index) + np.arange(batch.count, dtype=np.uint64)


def _joined(parts: Sequence[NDArray[Any] | None]) -> NDArray[Any] | None:
    there = [part for part in parts if part is not None]
    return np.concatenate(there) if there else None


def _span(indices: NDArray[np.uint64]) -> str:
    """Such as ``indices 3–7``."""
    first, last = int(indices[0]), int(indices[-1])
    if len(indices) == 1:
        return f"index {first}"
    consecutive = last == first + len(indices) - 1 and (np.diff(indices) == 1).all()
    if consecutive:
        return f"indices {first}–{last}"
    return f"indices {first}, {int(indices[1])}" + (", …" if len(indices) > 2 else "")


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
