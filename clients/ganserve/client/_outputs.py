"""What `ganserve generate` and `ganserve interpolate` write: a grid, arrays, or a folder with a file a sample."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ganserve.contract.card import is_conditional
from ganserve.contract.errors import ConfigError
from ganserve.contract.files import new_file
from ganserve.contract.images import FILE_FORMATS, FileFormatName, ImageFormatName, encode, file_format_of, num_columns
from ganserve.v1.generator_pb2 import ImageEncoding
from ganserve.v1.model_pb2 import ModelCard

from ._legend import class_counts, describe_counts, describe_grid
from ._requests import image_encoding
from ._sample_folder import FolderWriter, Recipe, check_folder, writing_folder
from ._samples import Samples

_MOST_IN_GRID: Final = 65_536


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """The flags beside `--out`. Each goes with some kinds of output only."""

    format: FileFormatName | None = None
    quality: int | None = None
    columns: int | None = None
    captions: bool = False
    class_folders: bool = False
    overwrite: bool = False


class Writer(Protocol):
    """Takes samples as they come."""

    def add(self, samples: Samples) -> None: ...

    def legend(self) -> str:
        """Which classes the samples are of, in a line; empty without classes."""


class Output(Protocol):
    """Where samples go."""

    @property
    def wire_format(self) -> ImageFormatName:
        """How the images should travel."""

    @property
    def wire_quality(self) -> int | None:
        """Quality to go with it."""

    def writing(self, recipe: Recipe, card: ModelCard) -> AbstractContextManager[Writer]:
        """Writes in full when the body ends well, and not at all otherwise. Raises ArtifactError or ConfigError."""


def open_output(out: str, options: OutputOptions) -> Output:
    """The output that `out` and the options beside it mean. Writes nothing yet.

    Raises:
        ConfigError: an unknown suffix, an option that does not go with the output, or a folder that holds other files.
        InvalidRequestError: a quality that does not go with the format.
    """
    path = Path(out)
    suffix = path.suffix.lower()
    if not out:
        raise ConfigError(f"--out {out!r} names no file or folder")
    is_folder = out.endswith(("/", "\\")) or path.is_dir() or not suffix
    if is_folder or suffix == ".npz":
        _refuse("--columns", options.columns is not None, "with a grid, as in --out grid.png")
        _refuse("--captions", options.captions, "with a grid, as in --out grid.png")
    if is_folder:
        return SampleFolder.open(path, options)
    _refuse("--format", options.format is not None, "with a folder, as in --out samples/")
    _refuse("--class-folders", options.class_folders, "with a folder, as in --out samples/")
    _refuse("--overwrite", options.overwrite, "with a folder; files are replaced anyway")
    if suffix == ".npz":
        _refuse("--quality", options.quality is not None, "with images, not with arrays")
        return ArrayFile(path)
    form = file_format_of(suffix)
    if form is None:
        known = ", ".join(suffix for known_form in FILE_FORMATS for suffix in known_form.suffixes)
        raise ConfigError(
            f"--out {out}: {suffix} is not a known suffix; use {known} for a grid, .npz for arrays, "
            "or a folder such as samples/"
        )
    if options.columns is not None and options.columns < 1:
        raise ConfigError(f"--columns is {options.columns}; give at least 1")
    return GridFile(path, image_encoding(form.name, options.quality), options.columns, options.captions)


@dataclass(frozen=True)
class GridFile:
    """All samples in one image."""

    path: Path
    encoding: ImageEncoding
    columns: int | None
    captions: bool
    wire_format: ImageFormatName = "raw"
    wire_quality: int | None = None

    @contextmanager
    def writing(self, recipe: Recipe, card: ModelCard) -> Iterator[Writer]:
        if recipe.n > _MOST_IN_GRID:
            raise ConfigError(
                f"a grid of {recipe.n} samples is too large to look at; ask for at most {_MOST_IN_GRID}, "
                "or write a folder, as in --out samples/"
            )
        check_classes("--captions", self.captions, card)
        columns = self.columns or num_columns(recipe.n)
        collected = _Collector(card, columns)
        with new_file(self.path) as partial:
            yield collected
            partial.write_bytes(self._encode(collected.samples, columns))

    def _encode(self, samples: Samples, columns: int) -> bytes:
        grid = np.asarray(samples.grid(columns, captions=self.captions))
        try:
            return encode(grid.reshape(*grid.shape[:2], -1), self.encoding)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"a grid of {grid.shape[0]}×{grid.shape[1]} pixels does not fit {self.path.name} ({error}); "
                "ask for fewer samples, use .png, or write a folder"
            ) from error


@dataclass(frozen=True)
class ArrayFile:
    """NumPy arrays: images, indices, seed and digest, and where there are classes, labels and all class names."""

    path: Path
    wire_format: ImageFormatName = "raw"
    wire_quality: int | None = None

    @contextmanager
    def writing(self, recipe: Recipe, card: ModelCard) -> Iterator[Writer]:  # noqa: ARG002
        collected = _Collector(card)
        with new_file(self.path) as partial:
            yield collected
            samples = collected.samples
            arrays: dict[str, NDArray[Any]] = {
                "images": samples.numpy(),
                "indices": samples.indices,
                "seed": np.array(samples.seed, np.uint64),
                "digest": np.array(samples.model.digest),
            }
            if samples.labels is not None:
                arrays["labels"] = samples.labels
                arrays["class_names"] = np.array(card.class_names, np.str_)
            with partial.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)


@dataclass(frozen=True)
class SampleFolder:
    """One file a sample, `labels.csv` where there are classes, and `samples.json`, which tells how they were made."""

    path: Path
    wire_format: FileFormatName
    wire_quality: int | None
    class_folders: bool

    @classmethod
    def open(cls, path: Path, options: OutputOptions) -> SampleFolder:
        """Checks that the folder may be written. Raises ConfigError where it holds something else."""
        form = options.format or "png"
        image_encoding(form, options.quality)
        check_folder(path, options.overwrite)
        return cls(path, form, options.quality, options.class_folders)

    @contextmanager
    def writing(self, recipe: Recipe, card: ModelCard) -> Iterator[FolderWriter]:
        check_classes("--class-folders", self.class_folders, card)
        form = {"format": self.wire_format, "quality": self.wire_quality}
        with writing_folder(self.path, recipe, card.class_names, form, self.class_folders) as writer:
            yield writer


class _Collector:
    """Holds all samples, for what is written as a whole."""

    def __init__(self, card: ModelCard, columns: int | None = None) -> None:
        self._class_names = tuple(card.class_names)
        self._columns = columns
        self._parts: list[Samples] = []

    def add(self, samples: Samples) -> None:
        self._parts.append(samples)

    @property
    def samples(self) -> Samples:
        return Samples.join(self._parts)

    def legend(self) -> str:
        labels = self.samples.labels
        if labels is None:
            return ""
        if self._columns is None:
            return describe_counts(class_counts(labels, self._class_names), self._class_names)
        return describe_grid(labels, self._class_names, self._columns)


def check_classes(option: str, given: bool, card: ModelCard) -> None:
    """Raises ConfigError where an option asks for classes that the model does not have."""
    if given and not is_conditional(card):
        raise ConfigError(f"{option}: this model is unconditional, so its samples have no classes; leave it out")


def _refuse(option: str, given: bool, goes_with: str) -> None:
    if given:
        raise ConfigError(f"{option} goes {goes_with}")
