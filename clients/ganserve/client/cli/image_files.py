"""The image files that a command reads."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from ganserve.contract.errors import ConfigError
from ganserve.contract.images import FILE_FORMATS, file_format_of
from ganserve.contract.text import counted

_OTHER_SUFFIXES: Final = frozenset({".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".heic", ".heif", ".avif", ".jp2"})
"""Of images that are not read, and whose absence would surprise."""


def images_of(source: Path) -> list[Path]:
    """An image, or those of a folder and of the folders in it, sorted. Raises ConfigError where there are none.

    It warns of images of other kinds, which it leaves out.
    """
    if not source.exists():
        raise ConfigError(f"{source}: there is no such file or folder")
    if not source.is_dir():
        return [source]
    files = sorted(path for path in source.rglob("*") if path.is_file())
    images = [path for path in files if file_format_of(path.suffix)]
    if not images:
        raise ConfigError(f"{source} holds no images; they are {image_suffixes()} files")
    if others := [path for path in files if path.suffix.lower() in _OTHER_SUFFIXES]:
        print(
            f"ganserve: warning: left out: {counted(len(others), 'image')} of other kinds, such as {others[0]}; "
            f"{image_suffixes()} files are read",
            file=sys.stderr,
        )
    return images


def image_suffixes() -> str:
    """What image files end in, for people."""
    return ", ".join(form.suffixes[0] for form in FILE_FORMATS)
