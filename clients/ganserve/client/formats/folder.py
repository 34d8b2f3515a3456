"""A folder with an image file a sample, `labels.csv` beside them, and perhaps what tells how they were made."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from ganserve.contract.errors import ConfigError
from ganserve.contract.images import FILE_FORMATS

from .contents import Contents
from .tree import LABELS_FILE, RECIPE_FILE, TreeWriter

_SUFFIXES: Final = "|".join(re.escape(form.suffixes[0]) for form in FILE_FORMATS)
_SAMPLE_FILE: Final = re.compile(rf"(\d+|latents)-\d+(-\d+)?({_SUFFIXES})")


@contextmanager
def writing_folder(folder: Path, contents: Contents) -> Iterator[TreeWriter]:
    """Fills a folder that is there and empty. Raises OSError."""
    there: set[str] = set()

    def put(path: str, data: bytes) -> None:
        subfolder = path.rpartition("/")[0]
        if subfolder and subfolder not in there:
            (folder / subfolder).mkdir()
            there.add(subfolder)
        (folder / path).write_bytes(data)

    writer = TreeWriter(contents, put)
    yield writer
    writer.put_labels()


def write_recipe(folder: Path, recipe: Mapping[str, Any]) -> None:
    """Writes `samples.json`, which tells how the samples of a folder were made."""
    (folder / RECIPE_FILE).write_text(json.dumps(recipe, indent=2) + "\n", encoding="utf-8")


def check_folder(path: Path, overwrite: bool) -> None:
    """Raises ConfigError where the folder may not be written: it is a file, in use, or holds anything but samples."""
    if Path.cwd().is_relative_to(path.resolve()):
        raise ConfigError(f"{path} is where you are; give a folder inside it, such as samples/")
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{path} is a file; give a folder that is not there yet")
    if not path.exists() or not any(path.iterdir()):
        return
    if not overwrite:
        raise ConfigError(
            f"{path} is not empty; give another folder, or overwrite=True (on the command line, --overwrite) to "
            "replace its samples"
        )
    foreign = next(_foreign_entries(path), None)
    if foreign is not None:
        raise ConfigError(
            f"{path} holds {foreign.relative_to(path)}, which is no sample, so it is not replaced; give another folder"
        )


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
