"""Decoded images, kept from one run to the next as one memory-mapped array a dataset."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
from platformdirs import user_cache_dir

from ganserve.contract.errors import ArtifactError, DatasetError
from ganserve.contract.files import new_folder, sync

from .dataset import ImageDataset
from .decoding import Decoded, WritePixels

READER_VERSION = 2
"""Part of every key. It goes up whenever the same files would give other pixels, labels or names."""

Make = Callable[[WritePixels], Decoded]
"""Writes all pixels, in order, and says what they are."""

_PIXELS = "images.u8"
_LABELS = "labels.npy"
_INDEX = "index.json"


def cache_folder() -> Path:
    """Where decoded and downloaded data are kept: $GANSERVE_CACHE, else the user's cache folder for ganserve.

    It may be removed at any time; what is missing is made again.
    """
    return Path(os.environ.get("GANSERVE_CACHE") or user_cache_dir("ganserve", appauthor=False)).expanduser()


def cached(key: str, name: str, make: Make) -> ImageDataset:
    """The dataset that `make` writes, from the cache where it has been made before.

    Its images are mapped copy-on-write: they look writable, and what is written stays in this process. An entry that is
    torn or of another version is made again. Where the cache cannot be written, for want of rights or of room, the
    images are kept in memory. Two processes that make the same entry at once both succeed.

    Args:
        key: changes whenever `make` may write something else.
        name: of the dataset.
    """
    entry = cache_folder() / "datasets" / hashlib.sha256(f"{READER_VERSION} {key}".encode()).hexdigest()
    kept = _open(entry, name)
    if kept is not None:
        return kept
    with suppress(_UnwritableError):
        _write(entry, name, make)
    return _open(entry, name) or _in_memory(name, make)


class _UnwritableError(Exception):
    """The cache folder took no entry."""


def _write(entry: Path, name: str, make: Make) -> None:
    try:
        with new_folder(entry, replace=entry.exists()) as partial:
            with (partial / _PIXELS).open("wb") as file:
                decoded = make(lambda images: file.write(np.ascontiguousarray(images).data))
            if decoded.labels is not None:
                np.save(partial / _LABELS, decoded.labels, allow_pickle=False)
            dataset = _dataset(name, _map(partial / _PIXELS, decoded), decoded)
            (partial / _INDEX).write_text(json.dumps(_to_index(dataset)), encoding="utf-8")
            for path in partial.iterdir():
                sync(path)
    except DatasetError:
        raise
    except (ArtifactError, OSError) as error:
        raise _UnwritableError from error


def _open(entry: Path, name: str) -> ImageDataset | None:
    try:
        index = json.loads((entry / _INDEX).read_text(encoding="utf-8"))
        labels = np.load(entry / _LABELS, allow_pickle=False) if index["has_labels"] else None
        decoded = Decoded(
            **index["shape"],
            labels=labels,
            class_names=tuple(index["class_names"]),
            skipped=tuple(index["skipped"]),
            notes=tuple(index["notes"]),
        )
        images = _map(entry / _PIXELS, decoded)
        if len(images) != index["num_images"] or not re.fullmatch("[0-9a-f]{64}", index["digest"]):
            return None
        dataset = _dataset(name, images, decoded).with_known_digest(index["digest"])
        return dataset.with_known_hashes(bytes.fromhex(index["image_hashes"]))
    except (OSError, EOFError, ValueError, KeyError, TypeError, DatasetError):
        return None


def _to_index(dataset: ImageDataset) -> dict[str, object]:
    num_images, height, width, num_channels = dataset.images.shape
    return {
        "num_images": num_images,
        "shape": {"height": height, "width": width, "num_channels": num_channels},
        "has_labels": dataset.labels is not None,
        "class_names": dataset.class_names,
        "skipped": dataset.skipped,
        "notes": dataset.notes,
        "digest": dataset.digest,
        "image_hashes": dataset.image_hashes.hex(),
    }


def _map(path: Path, decoded: Decoded) -> npt.NDArray[np.uint8]:
    """Raises ValueError where the file does not hold whole images."""
    flat = np.memmap(path, dtype=np.uint8, mode="c")
    return np.asarray(flat).reshape(-1, decoded.height, decoded.width, decoded.num_channels)


def _in_memory(name: str, make: Make) -> ImageDataset:
    pixels = bytearray()
    decoded = make(lambda images: pixels.extend(np.ravel(images).data))
    shape = (-1, decoded.height, decoded.width, decoded.num_channels)
    return _dataset(name, np.frombuffer(pixels, dtype=np.uint8).reshape(shape), decoded)


def _dataset(name: str, images: npt.NDArray[np.uint8], decoded: Decoded) -> ImageDataset:
    return ImageDataset(images, decoded.labels, decoded.class_names, name, decoded.skipped, decoded.notes)
