"""The files below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from ganserve.contract.errors import DatasetError
from ganserve.contract.files import read_regular_file

from . import fingerprints
from .image_files import open_regular
from .layouts import Inner, inner_path
from .trees import Tree


def folder_tree(folder: Path) -> Tree:
    """Every file under `folder`, however deep.

    Its fingerprints cover the folder's real path, and the path, size and times of each file. Raises DatasetError.
    """
    files = {inner_path(path.relative_to(folder).as_posix()): path for path in walk(folder)}

    def fingerprint_of(paths: Sequence[Inner]) -> str:
        return fingerprints.of_files(folder, [files[path] for path in paths])

    return Tree(
        source=str(folder),
        name=folder.resolve().name,
        openers={inner: partial(open_regular, path) for inner, path in files.items()},
        fingerprint_of=fingerprint_of,
        read=lambda inner, max_bytes: read_regular_file(files[inner], max_bytes),
    )


def walk(folder: Path) -> Iterator[Path]:
    """Every file below a folder. Links to folders are followed, except to one that they lie in.

    Raises DatasetError for a folder that cannot be read.
    """
    waiting: list[tuple[Path, frozenset[Path]]] = [(folder, frozenset())]
    while waiting:
        path, above = waiting.pop()
        real = path.resolve()
        if real in above:
            continue
        for entry in _entries(path):
            if entry.is_dir():
                waiting.append((path / entry.name, above | {real}))
            else:
                yield path / entry.name


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be read ({error.strerror}); change its rights or remove it") from error
