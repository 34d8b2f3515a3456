"""A folder of images: in class folders, in `train/` and `test/`, flat, or beside a `dataset.json`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ganserve.contract.errors import DatasetError
from ganserve.contract.files import read_regular_file

from . import fingerprints
from .dataset import Split
from .image_files import ImageFile, open_regular
from .layouts import images_among, inner_path, lay_out
from .listing import Listing
from .stylegan import INDEX_NAME, max_index_bytes, parse_index


def list_folder(folder: Path, split: Split) -> Listing | None:
    """Every image of the split under `folder`, however deep; None where it has no such split.

    Its fingerprint covers the folder's real path, the path, size and times of every image, and `dataset.json`.
    Raises DatasetError and OSError.
    """
    source = str(folder)
    images = images_among((inner_path(path.relative_to(folder).as_posix()) for path in walk(folder)), source)
    index_path = folder / INDEX_NAME
    data = read_regular_file(index_path, max_index_bytes(len(images))) if index_path.is_file() else b""
    index = parse_index(data, source) if data else None
    layout = index.lay_out(images, source) if index and images else lay_out(images, source)
    if split not in layout.splits:
        return None
    paths = [folder.joinpath(*path) for path in images] + ([index_path] if index else [])
    return Listing(
        source=source,
        name=folder.resolve().name,
        files=[
            ImageFile("/".join(path), label, partial(open_regular, folder.joinpath(*path)))
            for path, label in layout.splits[split]
        ],
        class_names=layout.class_names,
        fingerprint=fingerprints.of_text("folder", split, fingerprints.of_files(folder, paths)),
        digest=index.digest if index else "",
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
