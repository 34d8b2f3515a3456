"""Samples as files in folders beside `labels.csv`: what a folder and a zip of them have in common."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from .contents import Contents, image_files, stems

if TYPE_CHECKING:
    from ganserve.client._samples.samples import Samples

LABELS_FILE: Final = "labels.csv"
RECIPE_FILE: Final = "samples.json"
LABEL_COLUMNS: Final = ("file", "label", "class")
_LONGEST_FOLDER_NAME: Final = 60

Put = Callable[[str, bytes], None]
"""Writes a file below the tree's top, whose path has at most one folder."""


class TreePaths:
    """Where each sample's file lies in the tree."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._folders = class_folder_names(contents.class_names) if contents.class_folders else None

    def of(self, samples: Samples) -> list[str]:
        """A path below the tree's top for each sample."""
        names = [stem + self._contents.suffix for stem in stems(samples, self._contents)]
        if self._folders is None or samples.labels is None:
            return names
        return [f"{self._folders[label]}/{name}" for label, name in zip(samples.labels.tolist(), names, strict=True)]


class TreeWriter:
    """Writes a file a sample as they come, and holds none of them but the latest.

    Attributes:
        num_bytes: how much is written so far.
        latest: the samples that came last.
    """

    def __init__(self, contents: Contents, put: Put) -> None:
        self._contents = contents
        self._put = put
        self._paths = TreePaths(contents)
        self._table = io.StringIO()
        self.num_bytes = 0
        self.latest: Samples | None = None

    def add(self, samples: Samples) -> None:
        self.latest = samples
        paths = self._paths.of(samples)
        for path, file in zip(paths, image_files(samples, self._contents), strict=True):
            self._put(path, file)
            self.num_bytes += len(file)
        if samples.labels is not None:
            labels = samples.labels.tolist()
            names = self._contents.class_names
            write_rows(self._table, ((path, label, names[label]) for path, label in zip(paths, labels, strict=True)))

    def put_labels(self) -> None:
        """Writes `labels.csv`, where there are classes."""
        if rows := self._table.getvalue():
            self._put(LABELS_FILE, (table_header(LABEL_COLUMNS) + rows).encode())


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


def table_header(columns: Sequence[str]) -> str:
    """The first line of a table of files."""
    return ",".join(columns) + "\n"


def write_rows(table: io.TextIOBase, rows: Iterable[Sequence[object]]) -> None:
    """Appends lines to a table of files."""
    csv.writer(table, lineterminator="\n").writerows(rows)
