"""NumPy's `.npz` with `images` and `labels`, or with the names that Keras or MedMNIST have for them.

Those are `x_train`, `y_train`, `x_test` and so on, and `train_images`, `train_labels`, `val_images` and so on.

The formats are described at https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. Arrays of objects,
which would be pickled code, are refused.
"""

from __future__ import annotations

import dataclasses
import math
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ganserve.contract.card import MAX_IMAGE_SIDE
from ganserve.contract.errors import DatasetError

from . import fingerprints
from .archives import BROKEN, open_archive, open_entry
from .cache import cached
from .dataset import ImageDataset, Split
from .decoding import Decoded, WritePixels
from .image_files import on_black
from .layouts import require_text
from .splits import SPLITS
from .values import labelled_by_value, to_pixels

_KEYS: dict[Split, tuple[tuple[str, str], ...]] = {
    "train": (("images", "labels"), ("x_train", "y_train"), ("train_images", "train_labels")),
    "test": (
        ("x_test", "y_test"),
        ("test_images", "test_labels"),
        ("x_val", "y_val"),
        ("val_images", "val_labels"),
    ),
}
_CLASS_NAMES = "class_names"
_NUM_RGBA = 4
# APPNOTE.TXT of PKWARE, 4.3.7: the signature, what does not matter here, the lengths of the name and of the extras.
_LOCAL_HEADER = struct.Struct("<4s22xH2x")
# Booleans, whole numbers, floats and texts.
_KINDS = "biufSU"
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

    Images are (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1, 3 or 4, of levels that `to_pixels` knows; where the
    fourth channel says that they are transparent, black shows. Labels are whole numbers or texts (N,) or (N, 1), and
    `class_names` (K,), where it is there, names the numbers from 0, or gives the texts their order.
    The cache is keyed by the file's real path, size and times. Raises DatasetError.
    """
    with open_archive(path) as archive:
        names = {entry.removesuffix(".npy") for entry in archive.namelist()}
    if not names & {images for keys in _KEYS.values() for images, _ in keys}:
        raise DatasetError(f"{path}: no `images` and no `x_train` in it; rename {', '.join(sorted(names))[:200]}")
    keys = _keys(names, split)
    if keys is None:
        return None
    train_keys = _keys(names, "train") or keys
    key = fingerprints.of_text("npz", split, fingerprints.of_files(path.parent, [path]))
    dataset = cached(key, path.stem, lambda write: _decode(path, keys, train_keys, write))
    return dataset.with_notes(_say_splits(names))


def _decode(path: Path, keys: tuple[str, str], train_keys: tuple[str, str], write: WritePixels) -> Decoded:
    try:
        with open_archive(path) as archive:
            images, notes = _read_images(archive, keys[0], train_keys[0], path)
            labels = _read_labels(archive, keys, path, len(images))
            is_other = labels is not None and keys != train_keys
            known = _read_labels(archive, train_keys, path) if is_other else labels
            class_names = _read_class_names(archive, path)
    except _UNREADABLE as error:
        raise DatasetError(f"{path}: cannot be read ({error}); make it again") from error
    decoded = labelled_by_value(images.shape, labels, known, str(path))
    if class_names and labels is not None:
        decoded = _named(decoded, labels, class_names, path)
    write(images)
    return dataclasses.replace(decoded, notes=notes)


def _named(decoded: Decoded, labels: npt.NDArray[Any], class_names: tuple[str, ...], path: Path) -> Decoded:
    """With the file's own class names, those of classes without an image included."""
    if labels.dtype.kind == "U" and set(labels.tolist()) <= set(class_names):
        label_of = {name: label for label, name in enumerate(class_names)}
        labels = np.array([label_of[name] for name in labels.tolist()])
    if labels.dtype.kind not in "iu" or not 0 <= labels.min() <= labels.max() < len(class_names):
        raise DatasetError(
            f"{path}: its labels are not numbers from 0 to {len(class_names) - 1}, as its class names are, "
            "nor all of them such names"
        )
    return dataclasses.replace(decoded, labels=labels.astype(np.int64), class_names=class_names)


def _keys(names: set[str], split: Split) -> tuple[str, str] | None:
    return next((keys for keys in _KEYS[split] if keys[0] in names), None)


def _say_splits(names: set[str]) -> tuple[str, ...]:
    """Which arrays are not used."""
    used = {_keys(names, split) for split in SPLITS}
    unused = [keys[0] for split in SPLITS for keys in _KEYS[split] if keys[0] in names and keys not in used]
    return (f"left out beside the splits: {', '.join(unused)}",) if unused else ()


def _read_images(
    archive: zipfile.ZipFile, key: str, train_key: str, path: Path
) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
    """uint8 (N, H, W, C) with C 1 or 3, and what was done to them."""
    images, order_note = _channels_last(_read(archive, key, path), key, path)
    if images.size == 0:
        raise DatasetError(f"{path}: there are no images in {key}; add some")
    has_own_range = images.dtype == np.uint8 or key == train_key
    training_images = images if has_own_range else _read(archive, train_key, path)
    pixels, level_note = to_pixels(images, training_images if training_images.size else images, key, str(path))
    alpha_note = ""
    if pixels.shape[3] == _NUM_RGBA:
        alpha_note = f"{key} has four channels; the fourth is taken for opacity, on black"
        pixels = np.stack([np.asarray(on_black(Image.fromarray(image)).convert("RGB")) for image in pixels])
    return np.ascontiguousarray(pixels), tuple(filter(None, (order_note, level_note, alpha_note)))


def _read(archive: zipfile.ZipFile, key: str, path: Path) -> npt.NDArray[Any]:
    """One array, allocated only if the zip can hold as many bytes as its header promises."""
    entry = archive.getinfo(f"{key}.npy")
    with open_entry(archive, entry) as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file)
        if dtype.kind not in _KINDS:
            raise DatasetError(
                f"{path}: {key} is of {dtype}, not of numbers or texts; save images as uint8, labels as whole numbers "
                "or with dtype=str"
            )
        if math.prod(shape) * dtype.itemsize > entry.file_size:
            raise DatasetError(f"{path}: {key} is truncated; make it again")
    with open_entry(archive, entry) as file:
        array: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        return array


def _channels_last(array: npt.NDArray[Any], key: str, path: Path) -> tuple[npt.NDArray[Any], str]:
    """(N, H, W, C), and a note where it was in another order. Where two orders are possible, C is rather 1 or 3."""
    note = ""
    if array.ndim == 3:
        array = array[..., np.newaxis]
    elif array.ndim == 4:
        axis = next((axis for counts in ((1, 3), (_NUM_RGBA,)) for axis in (3, 1) if array.shape[axis] in counts), None)
        if axis == 1:
            note = f"{key} has shape {array.shape}, which is taken for (N, C, H, W)"
            array = array.transpose(0, 2, 3, 1)
    if array.ndim != 4 or array.shape[3] not in (1, 3, _NUM_RGBA):
        raise DatasetError(
            f"{path}: {key} has shape {array.shape}, not (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1, 3 or 4"
        )
    if not all(1 <= side <= MAX_IMAGE_SIDE for side in array.shape[1:3]):
        raise DatasetError(f"{path}: {key} has images of {array.shape[2]}×{array.shape[1]} pixels")
    return array, note


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
    if labels.dtype.kind == "f":
        if not (np.isfinite(labels).all() and (labels == np.rint(labels)).all() and (abs(labels) < 2**53).all()):
            raise DatasetError(f"{path}: {key} has classes that are no whole numbers; save them as whole numbers")
        labels = labels.astype(np.int64)
    return _as_text(labels, f"{path}: {key}") if labels.dtype.kind in "SU" else labels


def _read_class_names(archive: zipfile.ZipFile, path: Path) -> tuple[str, ...]:
    """Empty where the file has none."""
    if f"{_CLASS_NAMES}.npy" not in archive.namelist():
        return ()
    names = _read(archive, _CLASS_NAMES, path)
    if names.ndim != 1 or names.dtype.kind not in "SU" or len(np.unique(names)) < len(names):
        raise DatasetError(f"{path}: {_CLASS_NAMES} are not different texts (K,); save them with dtype=str")
    what = f"{path}: {_CLASS_NAMES}"
    return require_text(_as_text(names, what).tolist(), f"{what}: the class name")


def _as_text(array: npt.NDArray[Any], what: str) -> npt.NDArray[np.str_]:
    """Bytes are UTF-8."""
    try:
        return array if array.dtype.kind == "U" else np.char.decode(array, "utf-8")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{what} holds texts that are not UTF-8; save them with dtype=str") from error
