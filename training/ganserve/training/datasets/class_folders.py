"""A folder of class folders, or a zip of one. A zip is read in place and never extracted."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from ganserve.contract.errors import DatasetError

from .dataset import ImageDataset, OnProgress
from .decoding import IMAGE_SUFFIXES, ImageFile, decode

_MAX_FILE_BYTES = 256 * 2**20


def load_class_folders(folder: Path, on_progress: OnProgress | None = None) -> ImageDataset:
    """Every image under `folder`, however deep; its class is the folder just below `folder`. Raises DatasetError."""
    inner_paths = [PurePosixPath(path.relative_to(folder).as_posix()) for path in _walk(folder)]
    files = [
        ImageFile(str(folder / inner), _class_name(inner, source=str(folder)), partial(_open_file, folder / inner))
        for inner in sorted(filter(_is_image, inner_paths))
    ]
    return decode(files, source=str(folder), name=folder.resolve().name, on_progress=on_progress)


def load_zip(path: Path, on_progress: OnProgress | None = None) -> ImageDataset:
    """Like `load_class_folders`, for a zip; a single folder around all class folders is looked through."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {
                inner: entry
                for entry in archive.infolist()
                if _is_image(inner := PurePosixPath(entry.filename)) and not entry.is_dir()
            }
            paths = sorted(entries)
            files = [
                ImageFile(
                    path=f"{path}/{outer}",
                    class_name=_class_name(inner, source=str(path)),
                    open=partial(_open_entry, archive, entries[outer]),
                )
                for outer, inner in zip(paths, _without_common_top(paths), strict=True)
            ]
            return decode(files, source=str(path), name=path.stem, on_progress=on_progress)
    except zipfile.BadZipFile as error:
        raise DatasetError(f"{path}: not a zip file, or a broken one ({error}); make it again") from error


def _is_image(path: PurePosixPath) -> bool:
    is_hidden = any(part.startswith((".", "__MACOSX")) and part != ".." for part in path.parts)
    return path.suffix.lower() in IMAGE_SUFFIXES and not is_hidden


def _class_name(path: PurePosixPath, *, source: str) -> str:
    if len(path.parts) < 2:
        raise DatasetError(f"{source}: {path} is in no class folder; put the images into one folder for each class")
    if path.is_absolute() or ".." in path.parts:
        raise DatasetError(f"{source}: {path} leads out of it; make it again with paths inside it")
    try:
        path.parts[0].encode()
    except UnicodeEncodeError as error:
        raise DatasetError(f"{source}: the name of class folder {path.parts[0]!r} is not UTF-8; rename it") from error
    return path.parts[0]


def _walk(folder: Path) -> Iterator[Path]:
    """Every file below a folder; links to folders are followed, each folder once."""
    seen: set[Path] = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        real = Path(root).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(root) / file for file in files)


def _without_common_top(paths: list[PurePosixPath]) -> list[PurePosixPath]:
    tops = {path.parts[0] for path in paths}
    has_common_top = len(tops) == 1 and all(len(path.parts) >= 3 for path in paths)
    return [PurePosixPath(*path.parts[1:]) for path in paths] if has_common_top else paths


def _open_file(path: Path) -> IO[bytes]:
    return path.open("rb")


def _open_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> IO[bytes]:
    if entry.file_size > _MAX_FILE_BYTES:
        raise ValueError(f"{entry.file_size:,} bytes, more than {_MAX_FILE_BYTES:,}")
    if entry.flag_bits & 0x1:
        raise ValueError("encrypted")
    return archive.open(entry)
