"""The image files that a command reads."""

from __future__ import annotations

from pathlib import Path

from ganserve.contract.errors import ConfigError
from ganserve.contract.images import FILE_FORMATS, file_format_of


def images_of(source: Path) -> list[Path]:
    """An image, or those of a folder and of the folders in it, sorted. Raises ConfigError where there are none."""
    if not source.exists():
        raise ConfigError(f"{source}: there is no such file or folder")
    if not source.is_dir():
        return [source]
    images = sorted(path for path in source.rglob("*") if file_format_of(path.suffix) and path.is_file())
    if not images:
        raise ConfigError(f"{source} holds no images; they are {image_suffixes()} files")
    return images


def image_suffixes() -> str:
    """What image files end in, for people."""
    return ", ".join(form.suffixes[0] for form in FILE_FORMATS)
