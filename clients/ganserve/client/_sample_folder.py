"""A folder of samples: an image file each, `labels.csv`, and `samples.json`, which tells how they were made."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from ganserve.contract.errors import ConfigError
from ganserve.contract.files import new_folder
from ganserve.contract.images import FILE_FORMATS, file_format
from ganserve.v1.model_pb2 import ModelIdentity

from ._legend import class_counts, describe_counts
from ._samples import Samples

LABELS_FILE: Final = "labels.csv"
RECIPE_FILE: Final = "samples.json"
_SUFFIXES: Final = "|".join(re.escape(form.suffixes[0]) for form in FILE_FORMATS)
_SAMPLE_FILE: Final = re.compile(rf"\d+-\d+({_SUFFIXES})")
_MIN_INDEX_DIGITS: Final = 6
_LONGEST_FOLDER_NAME: Final = 60


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything, beside the model, that is needed to make the samples again."""

    n: int
    first_index: int
    labels: str | None
    counts: str | None
    truncation: float | None


def check_folder(path: Path, overwrite: bool) -> None:
    """Raises ConfigError where the folder may not be written: it is a file, in use, or holds anything but samples."""
    if Path.cwd().is_relative_to(path.resolve()):
        raise ConfigError(f"--out {path} is where you are; give a folder inside it, such as samples/")
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{path} is a file; give a folder that is not there yet")
    if not path.exists() or not any(path.iterdir()):
        return
    if not overwrite:
        raise ConfigError(f"{path} is not empty; give another folder, or --overwrite to replace its samples")
    foreign = next(_foreign_entries(path), None)
    if foreign is not None:
        raise ConfigError(
            f"{path} holds {foreign.relative_to(path)}, which is no sample, so it is not replaced; give another folder"
        )


def class_folder_names(class_names: Sequence[str]) -> list[str]:
    """A folder for each class: its name, as far as every file system takes it, and different from all others."""
    names: list[str] = []
    taken = {LABELS_FILE, RECIPE_FILE}
    for label, class_name in enumerate(class_names):
        name = re.sub(r"[^\w .+-]", "_", class_name)[:_LONGEST_FOLDER_NAME].strip(". ")
        while not name or name.casefold() in taken:
            name = f"{name}-{label}"
        taken.add(name.casefold())
        names.append(name)
    return names


@contextmanager
def writing_folder(
    path: Path, recipe: Recipe, class_names: Sequence[str], form: Mapping[str, Any], class_folders: bool
) -> Iterator[FolderWriter]:
    """Writes the folder in full when the body ends well, and not at all otherwise.

    Args:
        path: the folder to be; samples that are there are replaced.
        recipe: how the samples are made.
        class_names: the model's classes in label order.
        form: `format` and `quality` of the files.
        class_folders: whether the files lie in a folder for each class.

    Raises:
        ArtifactError: it cannot be written.
    """
    with new_folder(path, replace=True) as folder:
        last_index = recipe.first_index + recipe.n - 1
        writer = FolderWriter(
            folder,
            suffix=file_format(form["format"]).suffixes[0],
            index_digits=max(_MIN_INDEX_DIGITS, len(str(last_index))),
            class_names=class_names,
            class_folders=class_folders,
        )
        try:
            yield writer
        finally:
            writer.close()
        made = {"model": _identity(writer.model), "seed": writer.seed, **asdict(recipe), **form}
        (folder / RECIPE_FILE).write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


class FolderWriter:
    """Writes files as they come and holds none of them."""

    def __init__(
        self, folder: Path, *, suffix: str, index_digits: int, class_names: Sequence[str], class_folders: bool
    ) -> None:
        self.model = ModelIdentity()
        self.seed: int | None = None
        self._folder = folder
        self._suffix = suffix
        self._index_digits = index_digits
        self._class_names = tuple(class_names)
        self._subfolders = class_folder_names(class_names) if class_folders else None
        self._counts = class_counts(np.array([], np.int64), class_names)
        self._table: io.TextIOWrapper | None = None

    def add(self, samples: Samples) -> None:
        self.model, self.seed = samples.model, samples.seed
        names = self._file_names(samples)
        for name, file in zip(names, samples.files, strict=True):
            (self._folder / name).write_bytes(file)
        if samples.labels is not None:
            labels = samples.labels.tolist()
            rows = csv.writer(self._label_table(), lineterminator="\n")
            rows.writerows((name, label, self._class_names[label]) for name, label in zip(names, labels, strict=True))
            self._counts += class_counts(samples.labels, self._class_names)

    def legend(self) -> str:
        return describe_counts(self._counts, self._class_names)

    def close(self) -> None:
        if self._table:
            self._table.close()

    def _file_names(self, samples: Samples) -> list[str]:
        """Paths below the folder, whose own folders are there."""
        names = [f"{samples.seed}-{index:0{self._index_digits}d}{self._suffix}" for index in samples.indices.tolist()]
        if self._subfolders is None or samples.labels is None:
            return names
        for label in np.unique(samples.labels).tolist():
            (self._folder / self._subfolders[label]).mkdir(exist_ok=True)
        return [f"{self._subfolders[label]}/{name}" for label, name in zip(samples.labels.tolist(), names, strict=True)]

    def _label_table(self) -> io.TextIOWrapper:
        if self._table is None:
            self._table = (self._folder / LABELS_FILE).open("w", encoding="utf-8", newline="")
            self._table.write("file,label,class\n")
        return self._table


def _foreign_entries(path: Path) -> Iterator[Path]:
    """What a folder of samples would not hold, class folders included."""
    for folder, subfolders, files in os.walk(path):
        own = {LABELS_FILE, RECIPE_FILE} if Path(folder) == path else set()
        entries = sorted(files) if Path(folder) == path else sorted([*files, *subfolders])
        if not files and not subfolders:
            yield Path(folder)
        for name in entries:
            if name not in own and not _SAMPLE_FILE.fullmatch(name):
                yield Path(folder) / name
        for name in subfolders:
            if (Path(folder) / name).is_symlink():
                yield Path(folder) / name


def _identity(model: ModelIdentity) -> dict[str, Any]:
    return {"name": model.name, "version": model.version, "digest": model.digest}
