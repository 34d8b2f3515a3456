"""From what a person writes after `--data` to the reader for it."""

from __future__ import annotations

import zipfile
from pathlib import Path

from ganserve.contract.errors import ConfigError, DatasetError

from .class_folders import load_class_folders, load_zip
from .dataset import ImageDataset, OnProgress
from .digits import load_digits
from .idx import holds_idx, load_idx


def load(source: str, on_progress: OnProgress | None = None) -> ImageDataset:
    """Reads all images of `source`: `digits`, an IDX folder, a folder of class folders, or a zip of one.

    `on_progress(num_done, num_images)` is called as image files are decoded. Raises ConfigError for a source that is
    not there and DatasetError for one that cannot be trained on.
    """
    if source == "digits":
        return load_digits()
    path = Path(source).expanduser()
    try:
        if path.is_dir():
            return load_idx(path) if holds_idx(path) else load_class_folders(path, on_progress)
        if path.is_file():
            return _load_file(path, on_progress)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error})") from error
    raise ConfigError(
        f"--data {source}: there is no such file or folder; give `digits`, a folder of IDX files, "
        "a folder of class folders, or a zip of one"
    )


def absolute(source: str) -> str:
    """The source as it can be read from any working directory."""
    return source if source == "digits" else str(Path(source).expanduser().absolute())


def _load_file(path: Path, on_progress: OnProgress | None) -> ImageDataset:
    if zipfile.is_zipfile(path):
        return load_zip(path, on_progress)
    cure = "make the zip again" if path.suffix.lower() == ".zip" else "give its folder, or a zip of class folders"
    raise DatasetError(f"{path}: not a zip file, or a broken one; {cure}")
