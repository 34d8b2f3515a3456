"""MNIST-style IDX files, gzipped or not. The format is described at the end of http://yann.lecun.com/exdb/mnist/."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt

from ganserve.contract.card import MAX_IMAGE_SIDE
from ganserve.contract.errors import DatasetError

from . import fingerprints
from .archives import BROKEN, max_unpacked_bytes
from .cache import cached
from .dataset import ImageDataset, Split
from .decoding import Decoded, WritePixels
from .values import labelled_by_value

_PREFIXES: dict[Split, str] = {"train": "train", "test": "t10k"}
_IMAGES = "images-idx3-ubyte"
_LABELS = "labels-idx1-ubyte"
_UNSIGNED_BYTE = 0x08
_PIECE_BYTES = 64 * 2**20


def holds_idx(folder: Path) -> bool:
    """Whether `folder` has the images file of an IDX dataset, of either split."""
    return any(_find(folder, f"{prefix}-{_IMAGES}") for prefix in _PREFIXES.values())


def load_idx(folder: Path, split: Split = "train") -> ImageDataset | None:
    """The images of the split and, where there is a labels file, their labels; None where it has no such split.

    A class is a value that occurs among the training labels. The cache is keyed by the folder's real path and the
    names, sizes and times of its IDX files. Raises DatasetError.
    """
    images_path = _find(folder, f"{_PREFIXES[split]}-{_IMAGES}")
    if images_path is None:
        return None
    labels_paths = [_find(folder, f"{prefix}-{_LABELS}") for prefix in _PREFIXES.values()]
    files = [path for path in (images_path, *labels_paths) if path is not None]
    key = fingerprints.of_text("idx", split, fingerprints.of_files(folder, files))
    return cached(key, folder.resolve().name, lambda write: _decode(folder, images_path, split, write))


def _decode(folder: Path, images_path: Path, split: Split, write: WritePixels) -> Decoded:
    images = read_idx(images_path, num_dimensions=3)[..., np.newaxis]
    values = _read_labels(folder, split)
    if values is not None and len(values) != len(images):
        raise DatasetError(
            f"{folder}: its {split} labels file holds {len(values)} labels but {images_path.name} holds "
            f"{len(images)} images; take both from one download"
        )
    train_values = values if split == "train" else _read_labels(folder, "train")
    decoded = labelled_by_value(images.shape, values, train_values, str(folder))
    write(images)
    return decoded


def _read_labels(folder: Path, split: Split) -> npt.NDArray[np.uint8] | None:
    path = _find(folder, f"{_PREFIXES[split]}-{_LABELS}")
    return None if path is None else read_idx(path, num_dimensions=1)


def read_idx(path: Path, *, num_dimensions: int) -> npt.NDArray[np.uint8]:
    """The uint8 array of `num_dimensions` that an IDX file holds. Raises DatasetError."""
    try:
        with _open(path) as file:
            shape = _read_header(file, path, num_dimensions)
            expected_bytes = math.prod(shape)
            most_bytes = max_unpacked_bytes(path.stat().st_size)
            body = _read_at_most(file, min(expected_bytes, most_bytes) + 1)
    except BROKEN as error:
        raise DatasetError(f"{path}: cannot be read ({error}); fetch it again") from error
    if most_bytes < len(body):
        raise DatasetError(
            f"{path}: unpacks to more than {most_bytes:,} bytes, which is too much for its size; gunzip it first"
        )
    if len(body) < expected_bytes:
        raise DatasetError(
            f"{path}: truncated, {len(body):,} of the {expected_bytes:,} bytes that its header promises; fetch it again"
        )
    if len(body) > expected_bytes:
        raise DatasetError(
            f"{path}: goes on after the {expected_bytes:,} bytes that its header promises; fetch it again"
        )
    return np.frombuffer(body, dtype=np.uint8).reshape(shape)


def _read_header(file: BinaryIO, path: Path, num_dimensions: int) -> tuple[int, ...]:
    header = file.read(4 + 4 * num_dimensions)
    expected_magic = bytes((0, 0, _UNSIGNED_BYTE, num_dimensions))
    if header[:4] != expected_magic:
        raise DatasetError(
            f"{path}: not an IDX file of bytes with {num_dimensions} dimensions "
            f"(it begins with {header[:4].hex(' ') or 'nothing'}, not {expected_magic.hex(' ')})"
        )
    if len(header) < 4 + 4 * num_dimensions:
        raise DatasetError(f"{path}: truncated inside its header; fetch it again")
    shape: tuple[int, ...] = struct.unpack(f">{num_dimensions}I", header[4:])
    if any(not 1 <= side <= MAX_IMAGE_SIDE for side in shape[1:]):
        raise DatasetError(f"{path}: its header promises images of {'×'.join(map(str, shape[1:]))} pixels")
    return shape


def _read_at_most(file: BinaryIO, num_bytes: int) -> bytearray:
    """Reads piece by piece, so that a header with a wrong promise costs no memory."""
    body = bytearray()
    while len(body) < num_bytes and (piece := file.read(min(num_bytes - len(body), _PIECE_BYTES))):
        body += piece
    return body


def _find(folder: Path, name: str) -> Path | None:
    """The file of that name, or of the other spelling in use (`train-images.idx3-ubyte`), gzipped or not."""
    spellings = (name, name.replace("-idx", ".idx"))
    paths = (folder / f"{spelling}{suffix}" for spelling in spellings for suffix in ("", ".gz"))
    return next((path for path in paths if path.is_file()), None)


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")
