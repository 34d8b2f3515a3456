"""NumPy's `.npz` with `images` and `labels`, or with Keras's `x_train`, `y_train`, `x_test` and `y_test`.

The formats are described at https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. Arrays of objects,
which would be pickled code, are refused.
"""

from __future__ import annotations

import math
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ganserve.contract.card import MAX_IMAGE_SIDE
from ganserve.contract.errors import DatasetError

from . import fingerprints
from .archives import BROKEN, open_archive, open_entry
from .cache import cached
from .dataset import ImageDataset, Split
from .decoding import Decoded, WritePixels
from .values import labelled_by_value

_KEYS: dict[Split, tuple[tuple[str, str], ...]] = {
    "train": (("images", "labels"), ("x_train", "y_train")),
    "test": (("x_test", "y_test"),),
}
# APPNOTE.TXT of PKWARE, 4.3.7: the signature, what does not matter here, the lengths of the name and of the extras.
_LOCAL_HEADER = struct.Struct("<4s22xH2x")
_UNREADABLE = (*BROKEN, KeyError, MemoryError)


def holds_npz(path: Path) -> bool:
    """Whether the first file in the zip at `path` is an array; the zip's own name does not count."""
    with path.open("rb") as file:
        header = file.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size:
            return False
        signature, name_length = _LOCAL_HEADER.unpack(header)
        return bool(signature == b"PK\3\4" and file.read(name_length).endswith(b".npy"))


def load_npz(path: Path, split: Split) -> ImageDataset | None:
    """The images of the split and, where there are any, their labels; None where it has no such split.

    Images are uint8 (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1 or 3; labels are integers (N,) or (N, 1).
    The cache is keyed by the file's real path, size and times. Raises DatasetError.
    """
    with open_archive(path) as archive:
        names = {entry.removesuffix(".npy") for entry in archive.namelist()}
    if not names & {images for keys in _KEYS.values() for images, _ in keys}:
        raise DatasetError(f"{path}: no `images` and no `x_train` in it; rename {', '.join(sorted(names))[:200]}")
    keys = _keys(names, split)
    if keys is None:
        return None
    train_keys = _keys(names, "train") if split == "test" else None
    key = fingerprints.of_text("npz", split, fingerprints.of_files(path.parent, [path]))
    return cached(key, path.stem, lambda write: _decode(path, keys, train_keys, write))


def _decode(path: Path, keys: tuple[str, str], train_keys: tuple[str, str] | None, write: WritePixels) -> Decoded:
    try:
        with open_archive(path) as archive:
            images = _channels_last(_read(archive, keys[0], path), f"{path}: {keys[0]}")
            labels = _read_labels(archive, keys, path, len(images))
            known = _read_labels(archive, train_keys, path) if train_keys and labels is not None else labels
    except _UNREADABLE as error:
        raise DatasetError(f"{path}: cannot be read ({error}); make it again") from error
    decoded = labelled_by_value(images.shape, labels, known, str(path))
    write(images)
    return decoded


def _keys(names: set[str], split: Split) -> tuple[str, str] | None:
    return next((keys for keys in _KEYS[split] if keys[0] in names), None)


def _read(archive: zipfile.ZipFile, key: str, path: Path) -> npt.NDArray[Any]:
    """One array, allocated only if the zip can hold as many bytes as its header promises."""
    entry = archive.getinfo(f"{key}.npy")
    with open_entry(archive, entry) as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file)
        if dtype.kind not in "iu":
            raise DatasetError(f"{path}: {key} is of {dtype}, not of whole numbers; save it as uint8")
        if math.prod(shape) * dtype.itemsize > entry.file_size:
            raise DatasetError(f"{path}: {key} is truncated; make it again")
    with open_entry(archive, entry) as file:
        array: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        return array


def _channels_last(array: npt.NDArray[Any], what: str) -> npt.NDArray[np.uint8]:
    if array.dtype != np.uint8:
        raise DatasetError(f"{what} is of {array.dtype}, not uint8; scale it to 0..255 and save it as uint8")
    if array.ndim == 3:
        array = array[..., np.newaxis]
    elif array.ndim == 4 and array.shape[3] not in (1, 3) and array.shape[1] in (1, 3):
        array = array.transpose(0, 2, 3, 1)
    if array.ndim != 4 or array.shape[3] not in (1, 3):
        raise DatasetError(f"{what} has shape {array.shape}, not (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1 or 3")
    if not all(1 <= side <= MAX_IMAGE_SIDE for side in array.shape[1:3]):
        raise DatasetError(f"{what} has images of {array.shape[2]}×{array.shape[1]} pixels")
    return np.ascontiguousarray(array)


def _read_labels(
    archive: zipfile.ZipFile, keys: tuple[str, str], path: Path, num_images: int | None = None
) -> npt.NDArray[Any] | None:
    key = keys[1]
    if f"{key}.npy" not in archive.namelist():
        return None
    labels = _read(archive, key, path)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise DatasetError(f"{path}: {key} has shape {labels.shape}, not (N,); give one class number an image")
    if num_images is not None and len(labels) != num_images:
        raise DatasetError(f"{path}: {len(labels)} {key} but {num_images} {keys[0]}")
    return labels
