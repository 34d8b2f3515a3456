"""A folder of class folders, or a zip of one. A zip is read in place and never extracted."""

from __future__ import annotations

import zipfile
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from ganserve.contract.errors import DatasetError

from .dataset import ImageDataset, OnProgress
from .decoding import IMAGE_SUFFIXES, ImageFile, decode

_MAX_FILE_BYTES = 256 * 2**20


def load_class_folders(folder: Path, on_progress: OnProgress | None = None) -> ImageDataset:
    """Every image under `folder`, however deep; its class is the folder just below `folder`. Raises DatasetError."""
    files: list[ImageFile] = []
    for path in sorted(folder.rglob("*")):
        inner = PurePosixPath(path.relative_to(folder).as_posix())
        if _is_image(inner) and path.is_file():
            class_name = _class_name(inner, source=str(folder))
            files.append(ImageFile(str(path), class_name, partial(_open_file, path)))
    return decode(files, source=str(folder), name=folder.resolve().name, on_progress=on_progress)


def load_zip(path: Path, on_progress: OnProgress | None = None) -> ImageDataset:
    """Like `load_class_folders`, for a zip; a single folder around all class folders is looked through."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if _is_image(PurePosixPath(entry.filename))]
            inner_paths = _without_common_top([PurePosixPath(entry.filename) for entry in entries])
            files = sorted(
                (
                    ImageFile(
                        path=f"{path}/{entry.filename}",
                        class_name=_class_name(inner, source=str(path)),
                        open=partial(_open_entry, archive, entry),
                    )
                    for entry, inner in zip(entries, inner_paths, strict=True)
                ),
                key=lambda file: file.path,
            )
            return decode(files, source=str(path), name=path.stem, on_progress=on_progress)
    except zipfile.BadZipFile as error:
        raise DatasetError(f"{path}: not a zip file, or a broken one ({error}); make it again") from error


def _is_image(path: PurePosixPath) -> bool:
    is_hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return path.suffix.lower() in IMAGE_SUFFIXES and not is_hidden


def _class_name(path: PurePosixPath, *, source: str) -> str:
    if len(path.parts) < 2:
        raise DatasetError(f"{source}: {path} is in no class folder; put the images into one folder for each class")
    return path.parts[0]


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
