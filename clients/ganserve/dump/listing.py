"""A shard of a folder: image files in the folder itself, and a list of them with their digests.

All shards share the folders of the classes, so the list is what is renamed last and stands for the shard. Each image is
renamed into place too, and is the same whoever writes it, so that several processes may write the same shard.
"""

from __future__ import annotations

import csv
import hashlib
import io
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ganserve.client import Samples
from ganserve.client.formats.contents import Contents, image_files
from ganserve.client.formats.tree import LABEL_COLUMNS, LABELS_FILE, TreePaths, table_header, write_rows
from ganserve.contract.bundle import sha256
from ganserve.contract.files import new_file

_COLUMNS: Final = (*LABEL_COLUMNS, "index", "sha256")


@contextmanager
def writing_listing(path: Path, contents: Contents) -> Iterator[ListingWriter]:
    """Writes the list `path`, and the images into its folder. Raises OSError."""
    with path.open("w", encoding="utf-8", newline="") as table:
        table.write(table_header(_COLUMNS))
        yield ListingWriter(path.parent, contents, table)


class ListingWriter:
    """Writes images as they come.

    Attributes:
        num_bytes: how much is written so far, but for the list.
    """

    def __init__(self, folder: Path, contents: Contents, table: io.TextIOBase) -> None:
        self.num_bytes = 0
        self._folder = folder
        self._contents = contents
        self._table = table
        self._paths = TreePaths(contents)

    def add(self, samples: Samples) -> None:
        paths, files = self._paths.of(samples), image_files(samples, self._contents)
        for path, file in zip(paths, files, strict=True):
            self._put(path, file)
            self.num_bytes += len(file)
        classes: Sequence[tuple[object, object]] = [("", "")] * len(samples)
        if samples.labels is not None:
            classes = [(label, self._contents.class_names[label]) for label in samples.labels.tolist()]
        rows = zip(paths, classes, samples.indices.tolist(), files, strict=True)
        write_rows(self._table, ((path, *of_class, index, sha256(file)) for path, of_class, index, file in rows))

    def _put(self, path: str, data: bytes) -> None:
        partial = self._folder / f".{secrets.token_hex(8)}.partial"
        place = self._folder / path
        try:
            partial.write_bytes(data)
            place.parent.mkdir(exist_ok=True)
            partial.replace(place)
        finally:
            with suppress(OSError):
                partial.unlink()


def lists_what_is_there(path: Path) -> bool:
    """Whether all images of a list are there, and those that were written."""
    try:
        return all(_digest(path.parent / row["file"]) == row["sha256"] for row in _rows(path))
    except (OSError, KeyError, ValueError, csv.Error):
        return False


def listed_files(path: Path) -> Iterator[str]:
    """The images of a list that is right, as paths below its folder."""
    return (row["file"] for row in _rows(path))


def write_labels(folder: Path, listings: Sequence[Path]) -> None:
    """Writes `labels.csv` of all lists' images, in their order. Raises ArtifactError."""
    with new_file(folder / LABELS_FILE) as partial, partial.open("w", encoding="utf-8", newline="") as table:
        table.write(table_header(LABEL_COLUMNS))
        for listing in listings:
            write_rows(table, ([row[column] for column in LABEL_COLUMNS] for row in _rows(listing)))


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as table:
        yield from csv.DictReader(table)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
