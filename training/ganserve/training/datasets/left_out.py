"""What in a folder or zip of images is passed over, and what to say of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from .image_formats import IMAGE_SUFFIXES, UNREAD_IMAGE_SUFFIXES
from .layouts import Inner

# What file managers, network drives and interpreters put beside people's files, besides hidden files.
_SIDE_NAMES: Final = frozenset(
    {
        "__macosx",
        "@eadir",
        "@recently-snapshot",
        "#recycle",
        "$recycle.bin",
        "system volume information",
        "lost+found",
        "__pycache__",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "picasa.ini",
    }
)
_READ_ARCHIVE: Final = re.compile(r".*\.(zip|npz)|cifar-100?-python\.(tar\.gz|tgz|tar)", re.IGNORECASE)
_TARBALL: Final = re.compile(r".*\.(tar(\.\w+)?|tgz)", re.IGNORECASE)
_CIFAR_BINARY: Final = re.compile(r"(data_batch_\d|test_batch|train|test)\.bin")
_NUM_KINDS: Final = 8


def is_aside(path: Inner) -> bool:
    """Whether a file is hidden, or one that a system put there, or lies in such a folder."""
    return any((part.startswith(".") and part != "..") or part.casefold() in _SIDE_NAMES for part in path)


def is_image(path: Inner) -> bool:
    """Whether a file is named like an image of a format that is read."""
    return _suffix(path) in IMAGE_SUFFIXES


def is_unread_image(path: Inner) -> bool:
    """Whether a file is named like an image of a format that is not read."""
    return _suffix(path) in UNREAD_IMAGE_SUFFIXES


def say_left_out(paths: Sequence[Inner], known_names: frozenset[str]) -> tuple[str, ...]:
    """One line for the images, and one for the other files, that are not read; those of `known_names` need none."""
    others = [path for path in paths if not is_image(path) and path[-1] not in known_names]
    unread = [path for path in others if is_unread_image(path)]
    rest = [path for path in others if not is_unread_image(path)]
    lines = (
        (unread, "of formats that are not read", "; save them as PNG or JPEG"),
        (rest, "no images", ""),
    )
    return tuple(
        f"left out, {what}: {kinds(found)}, such as {'/'.join(found[0])}{advice}"
        for found, what, advice in lines
        if found
    )


def say_no_images(paths: Sequence[Inner], source: str) -> str:
    """Why a source without an image cannot be used, what lies there, and the way in."""
    suffixes = " ".join(sorted(IMAGE_SUFFIXES))
    sentences = [f"{source}: no images in it; put them ({suffixes}) into one folder for each class, or all into one"]
    if paths:
        sentences.append(f"what it holds is {kinds(paths)}")
    if archives := [path for path in paths if _READ_ARCHIVE.fullmatch(path[-1])]:
        sentences.append(f"to read one of its archives, give that, such as {source}/{'/'.join(archives[0])}")
    elif any(_TARBALL.fullmatch(path[-1]) for path in paths):
        sentences.append(
            "of tars only CIFAR's is read; unpack others, and have `ganserve dump` write --format folder, zip or "
            "parquet"
        )
    if any(_CIFAR_BINARY.fullmatch(path[-1]) for path in paths):
        sentences.append("these are of CIFAR's binary version, of which the Python version is read")
    return "; ".join(sentences)


def kinds(paths: Iterable[Inner]) -> str:
    """How many files there are of each suffix, the commonest first."""
    counts = Counter(_suffix(path) or "no suffix" for path in paths).most_common()
    more = f" and {len(counts) - _NUM_KINDS:,} other kinds" if len(counts) > _NUM_KINDS else ""
    return ", ".join(f"{suffix} ({count:,})" for suffix, count in counts[:_NUM_KINDS]) + more


def _suffix(path: Inner) -> str:
    """In small letters, with its dot; empty where the name has none."""
    _, dot, suffix = path[-1].rpartition(".")
    return (dot + suffix).lower() if dot else ""
