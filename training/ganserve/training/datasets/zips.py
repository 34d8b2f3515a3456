"""A zip of images, laid out like a folder of them, or as StyleGAN's. It is read in place and never extracted."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from ganserve.contract.errors import DatasetError

from . import fingerprints
from .archives import BROKEN, is_folder, open_archive, open_entry
from .dataset import Split
from .image_files import MAX_FILE_BYTES, ImageFile
from .layouts import common_top, images_among, inner_path, lay_out
from .listing import Listing
from .stylegan import INDEX_NAME, LabelIndex, max_index_bytes, parse_index

PAIR: dict[Split, str] = {"train": "train.zip", "test": "test.zip"}
"""The names under which two zips in one folder are the two splits of one source."""


@contextmanager
def open_zip(path: Path, split: Split) -> Iterator[Listing | None]:
    """Lists the images of the split, which can be read inside the `with`; None where it has no such split.

    A single folder around all class folders or splits is looked through. The fingerprint covers the path, size, CRC-32
    and place of every entry, and `dataset.json`; where the zip lies and when it was written do not count.

    Raises:
        DatasetError: it is broken, or its labels are.
    """
    with open_archive(path) as archive:
        yield _list(archive, path, split)


@contextmanager
def open_pair(folder: Path, split: Split) -> Iterator[Listing | None]:
    """Like `open_zip`, for a folder with `train.zip` and, perhaps, `test.zip`. Raises DatasetError."""
    with open_zip(folder / PAIR["train"], "train") as train:
        if train is None:
            raise DatasetError(
                f"{folder / PAIR['train']}: holds test images, by its {INDEX_NAME}; give it another name"
            )
        if split == "train":
            yield replace(train, name=folder.resolve().name)
            return
        if not (folder / PAIR["test"]).is_file():
            yield None
            return
        with open_zip(folder / PAIR["test"], "test") as packed, open_zip(folder / PAIR["test"], "train") as plain:
            test = packed or plain
            yield test and replace(_with_classes_of(train, test), name=folder.resolve().name)


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


def _list(archive: zipfile.ZipFile, path: Path, split: Split) -> Listing | None:
    source = str(path)
    entries = {inner_path(entry.filename): entry for entry in archive.infolist() if not is_folder(entry)}
    images = images_among(entries, source)
    top = () if (INDEX_NAME,) in entries else common_top(images)
    index = _read_index(archive, entries.get((*top, INDEX_NAME)), max_index_bytes(len(images)), source)
    images = [image[len(top) :] for image in images]
    layout = index.lay_out(images, source) if index and images else lay_out(images, source)
    if split not in layout.splits:
        return None
    return Listing(
        source=source,
        name=path.stem,
        files=[
            ImageFile("/".join(inner), label, partial(open_entry, archive, entries[top + inner], MAX_FILE_BYTES))
            for inner, label in layout.splits[split]
        ],
        class_names=layout.class_names,
        fingerprint=fingerprints.of_text("zip", split, index, *map(_state, entries.values())),
        digest=index.digest if index else "",
    )


def _read_index(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo | None, max_bytes: int, source: str
) -> LabelIndex | None:
    if entry is None:
        return None
    try:
        with open_entry(archive, entry, max_bytes) as file:
            data = file.read(entry.file_size)
    except BROKEN as error:
        raise DatasetError(f"{source}: its {INDEX_NAME} cannot be read ({error})") from error
    return parse_index(data, source)


def _state(entry: zipfile.ZipInfo) -> tuple[str, int, int, int]:
    return entry.filename, entry.file_size, entry.CRC, entry.header_offset
