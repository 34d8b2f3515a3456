"""What `ganserve generate` writes: a grid, arrays, or a folder with a file a sample."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ganserve.contract.errors import ConfigError
from ganserve.contract.files import new_file, new_folder
from ganserve.contract.images import Images, encode, make_contact_sheet
from ganserve.v1.generator_pb2 import ImageEncoding
from ganserve.v1.model_pb2 import ModelCard, ModelIdentity

from ._requests import ImageFormatName, image_encoding
from ._samples import Samples

LABELS_FILE: Final = "labels.csv"
RECIPE_FILE: Final = "samples.json"
_OWN_FILE: Final = re.compile(rf"\d+-\d+\.(png|jpg|webp)|{re.escape(LABELS_FILE)}|{re.escape(RECIPE_FILE)}")
_GRID_FORMATS: Final[dict[str, ImageFormatName]] = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
_FILE_SUFFIXES: Final[dict[ImageFormatName, str]] = {"png": "png", "jpeg": "jpg", "webp": "webp"}
_MIN_INDEX_DIGITS: Final = 6
_MOST_IN_GRID: Final = 65_536


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything, beside the model, that is needed to make the samples again."""

    n: int
    first_index: int
    labels: str | None
    truncation: float | None


class Writer(Protocol):
    """Takes samples as they come."""

    def add(self, samples: Samples) -> None: ...


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


def open_output(
    out: str,
    *,
    format: ImageFormatName | None,  # noqa: A002
    quality: int | None,
    columns: int | None,
    overwrite: bool,
) -> Output:
    """The output that `out` and the options beside it mean. Writes nothing yet.

    Raises:
        ConfigError: an unknown suffix, an option that does not go with the output, or a folder that holds other files.
        InvalidRequestError: a quality that does not go with the format.
    """
    path = Path(out)
    suffix = path.suffix.lower()
    if not out:
        raise ConfigError(f"--out {out!r} names no file or folder")
    if out.endswith(("/", "\\")) or path.is_dir() or not suffix:
        _refuse("--columns", columns is not None, "with a grid, and this --out is a folder")
        return SampleFolder.open(path, format or "png", quality, overwrite)
    _refuse("--format", format is not None, "with a folder, as in --out samples/")
    _refuse("--overwrite", overwrite, "with a folder; files are replaced anyway")
    if suffix == ".npz":
        _refuse("--columns", columns is not None, "with a grid")
        _refuse("--quality", quality is not None, "with images, not with arrays")
        return ArrayFile(path)
    if suffix not in _GRID_FORMATS:
        raise ConfigError(
            f"--out {out}: {suffix} is not a known suffix; use {', '.join(_GRID_FORMATS)} for a grid, .npz for arrays, "
            "or a folder such as samples/"
        )
    if columns is not None and columns < 1:
        raise ConfigError(f"--columns is {columns}; give at least 1")
    return GridFile(path, image_encoding(_GRID_FORMATS[suffix], quality), columns)


@dataclass(frozen=True)
class GridFile:
    """All samples in one image."""

    path: Path
    encoding: ImageEncoding
    columns: int | None
    wire_format: ImageFormatName = "raw"
    wire_quality: int | None = None

    @contextmanager
    def writing(self, recipe: Recipe, card: ModelCard) -> Iterator[Writer]:  # noqa: ARG002
        if recipe.n > _MOST_IN_GRID:
            raise ConfigError(
                f"a grid of {recipe.n} samples is too large to look at; ask for at most {_MOST_IN_GRID}, "
                "or write a folder, as in --out samples/"
            )
        collected = _Collector()
        with new_file(self.path) as partial:
            yield collected
            partial.write_bytes(self._encode(make_contact_sheet(collected.samples.numpy(), self.columns)))

    def _encode(self, grid: Images) -> bytes:
        try:
            return encode(grid, self.encoding)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"a grid of {grid.shape[0]}×{grid.shape[1]} pixels does not fit {self.path.name} ({error}); "
                "ask for fewer samples, use .png, or write a folder"
            ) from error


@dataclass(frozen=True)
class ArrayFile:
    """NumPy arrays: images, indices, seed and digest, and labels where there are any."""

    path: Path
    wire_format: ImageFormatName = "raw"
    wire_quality: int | None = None

    @contextmanager
    def writing(self, recipe: Recipe, card: ModelCard) -> Iterator[Writer]:  # noqa: ARG002
        collected = _Collector()
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
            with partial.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)


@dataclass(frozen=True)
class SampleFolder:
    """One file a sample, `labels.csv` where there are classes, and `samples.json`, which tells how they were made."""

    path: Path
    wire_format: ImageFormatName
    wire_quality: int | None

    @classmethod
    def open(cls, path: Path, format: ImageFormatName, quality: int | None, overwrite: bool) -> SampleFolder:  # noqa: A002
        """Checks that the folder may be written. Raises ConfigError where it holds something else."""
        image_encoding(format, quality)
        if Path.cwd().is_relative_to(path.resolve()):
            raise ConfigError(f"--out {path} is where you are; give a folder inside it, such as samples/")
        if path.exists() and not path.is_dir():
            raise ConfigError(f"{path} is a file; give a folder that is not there yet")
        held = sorted(entry.name for entry in path.iterdir()) if path.exists() else []
        if held and not overwrite:
            raise ConfigError(
                f"{path} already holds {len(held)} files; give another folder, or --overwrite to replace its samples"
            )
        foreign = [name for name in held if not _OWN_FILE.fullmatch(name)]
        if foreign:
            raise ConfigError(
                f"{path} holds {foreign[0]}, which is no sample, so it is not replaced; give another folder"
            )
        return cls(path, format, quality)

    @contextmanager
    def writing(self, recipe: Recipe, card: ModelCard) -> Iterator[Writer]:
        last_index = recipe.first_index + recipe.n - 1
        with new_folder(self.path, replace=True) as folder:
            digits = max(_MIN_INDEX_DIGITS, len(str(last_index)))
            writer = _FolderWriter(folder, _FILE_SUFFIXES[self.wire_format], digits, tuple(card.class_names))
            try:
                yield writer
            finally:
                writer.close()
            made = {"model": _identity(writer.model), "seed": writer.seed, **asdict(recipe), **self._form()}
            (folder / RECIPE_FILE).write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")

    def _form(self) -> dict[str, Any]:
        return {"format": self.wire_format, "quality": self.wire_quality}


class _Collector:
    def __init__(self) -> None:
        self._parts: list[Samples] = []

    def add(self, samples: Samples) -> None:
        self._parts.append(samples)

    @property
    def samples(self) -> Samples:
        return Samples.join(self._parts)


class _FolderWriter:
    """Writes files as they come and holds none of them."""

    def __init__(self, folder: Path, suffix: str, index_digits: int, class_names: tuple[str, ...]) -> None:
        self.model = ModelIdentity()
        self.seed: int | None = None
        self._folder = folder
        self._suffix = suffix
        self._index_digits = index_digits
        self._class_names = class_names
        self._table: io.TextIOWrapper | None = None

    def add(self, samples: Samples) -> None:
        self.model, self.seed = samples.model, samples.seed
        names = [f"{samples.seed}-{index:0{self._index_digits}d}.{self._suffix}" for index in samples.indices.tolist()]
        for name, file in zip(names, samples.files, strict=True):
            (self._folder / name).write_bytes(file)
        if samples.labels is not None:
            labels = samples.labels.tolist()
            rows = csv.writer(self._label_table(), lineterminator="\n")
            rows.writerows((name, label, self._class_names[label]) for name, label in zip(names, labels, strict=True))

    def close(self) -> None:
        if self._table:
            self._table.close()

    def _label_table(self) -> io.TextIOWrapper:
        if self._table is None:
            self._table = (self._folder / LABELS_FILE).open("w", encoding="utf-8", newline="")
            self._table.write("file,label,class\n")
        return self._table


def _identity(model: ModelIdentity) -> dict[str, Any]:
    return {"name": model.name, "version": model.version, "digest": model.digest}


def _refuse(option: str, given: bool, goes_with: str) -> None:
    if given:
        raise ConfigError(f"{option} goes {goes_with}")
