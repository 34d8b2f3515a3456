"""A zip of images, or two that are the splits of one source. They are read in place and never extracted."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from ganserve.contract.errors import DatasetError

from . import fingerprints
from .archives import BROKEN, is_folder, open_archive, open_entry
from .dataset import Split
from .image_files import MAX_FILE_BYTES
from .layouts import Inner, inner_path
from .listing import Listing
from .splits import choose_splits
from .stylegan import INDEX_NAME
from .trees import Tree


@contextmanager
def open_zip(path: Path, split: Split) -> Iterator[Listing | None]:
    """Lists the images of the split, which can be read inside the `with`; None where it has no such split.

    The fingerprint covers the path, size, CRC-32 and place of every entry that counts; where the zip lies and when it
    was written do not count.

    Raises:
        DatasetError: it is broken, or its labels are.
    """
    with open_archive(path) as archive:
        yield zip_tree(archive, path).list_split(split)


def zip_tree(archive: zipfile.ZipFile, path: Path) -> Tree:
    """The files in an open zip that lies at `path`."""
    entries = {inner_path(entry.filename): entry for entry in archive.infolist() if not is_folder(entry)}

    def fingerprint_of(paths: Sequence[Inner]) -> str:
        return fingerprints.of_text(*(_state(entries[inner]) for inner in paths))

    def read(inner: Inner, max_bytes: int) -> bytes:
        try:
            with open_entry(archive, entries[inner], max_bytes) as file:
                return file.read(entries[inner].file_size)
        except BROKEN as error:
            raise DatasetError(f"{path}: its {inner[-1]} cannot be read ({error})") from error

    return Tree(
        source=str(path),
        name=path.stem,
        openers={inner: partial(open_entry, archive, entry, MAX_FILE_BYTES) for inner, entry in entries.items()},
        fingerprint_of=fingerprint_of,
        read=read,
    )


def _state(entry: zipfile.ZipInfo) -> tuple[str, int, int, int]:
    return entry.filename, entry.file_size, entry.CRC, entry.header_offset


def find_pair(folder: Path) -> dict[Split, Path]:
    """The zips in a folder that are its splits, such as `train.zip` and `test.zip`; empty where none is to train on."""
    zips = {path.stem: path for path in folder.iterdir() if path.suffix.lower() == ".zip" and path.is_file()}
    pair = {split: zips[name] for split, name in choose_splits(zips, str(folder)).items()}
    return pair if "train" in pair else {}


@contextmanager
def open_pair(folder: Path, split: Split) -> Iterator[Listing | None]:
    """Like `open_zip`, for a folder in which `find_pair` found zips. Raises DatasetError."""
    pair = find_pair(folder)
    with ExitStack() as stack:
        train = stack.enter_context(open_zip(pair["train"], "train"))
        if train is None:
            raise DatasetError(f"{pair['train']}: holds test images, by its {INDEX_NAME}; give it another name")
        found: Listing | None = replace(train, notes=(*_say_beside(folder, pair), *train.notes))
        if split == "test":
            found = None
            if "test" in pair:
                packed = stack.enter_context(open_zip(pair["test"], "test"))
                test = packed or stack.enter_context(open_zip(pair["test"], "train"))
                found = test and _with_classes_of(train, test)
        yield found and replace(found, name=folder.resolve().name)


def _say_beside(folder: Path, pair: dict[Split, Path]) -> tuple[str, ...]:
    """Which zip is which split, and what else lies in the folder."""
    used = ", ".join(f"{split} images are those in {path.name}" for split, path in pair.items())
    paths = sorted(path.name for path in folder.iterdir() if path not in pair.values() and path.name[0] not in "@.")
    more = f" and {len(paths) - 3:,} more" if len(paths) > 3 else ""
    return (used, *([f"left out beside the zips: {', '.join(paths[:3])}{more}"] if paths else []))


def _with_classes_of(train: Listing, test: Listing) -> Listing:
    """The test images with the labels that the training images have for the same class names."""
    if test.class_names == train.class_names:
        return test
    foreign = set(test.class_names) - set(train.class_names)
    if foreign or not test.class_names:
        raise DatasetError(
            f"{test.source}: test images of {min(foreign, default='no class')}, and no training images of it"
        )
    label_of = [train.class_names.index(name) for name in test.class_names]
    files = [replace(file, label=None if file.label is None else label_of[file.label]) for file in test.files]
    fingerprint = fingerprints.of_text(test.fingerprint, *train.class_names)
    # The digest that the zip names covers its own labels.
    return replace(test, files=files, class_names=train.class_names, fingerprint=fingerprint, digest="")
