"""MNIST-style IDX files, gzipped or not. The format is described at the end of http://yann.lecun.com/exdb/mnist/."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt

from ganserve.contract.card import MAX_IMAGE_SIDE
from ganserve.contract.errors import DatasetError

from .dataset import ImageDataset

_IMAGES = "train-images-idx3-ubyte"
_LABELS = "train-labels-idx1-ubyte"
_UNSIGNED_BYTE = 0x08
_PIECE_BYTES = 64 * 2**20


def holds_idx(folder: Path) -> bool:
    """Whether `folder` has the images file of an IDX dataset."""
    return _find(folder, _IMAGES) is not None


def load_idx(folder: Path) -> ImageDataset:
    """The training images and, where there is a labels file, their labels, one class a value. Raises DatasetError."""
    images_path = _find(folder, _IMAGES)
    if images_path is None:
        raise DatasetError(f"{folder}: no {_IMAGES} or {_IMAGES}.gz in it")
    images = read_idx(images_path, num_dimensions=3)[..., np.newaxis]
    labels_path = _find(folder, _LABELS)
    if labels_path is None:
        return ImageDataset(images=images, labels=None, class_names=(), name=folder.resolve().name)
    values = read_idx(labels_path, num_dimensions=1)
    classes, labels = np.unique(values, return_inverse=True)
    if len(labels) != len(images):
        raise DatasetError(
            f"{labels_path} holds {len(labels)} labels but {images_path.name} holds {len(images)} images; "
            "take both from one download"
        )
    class_names = tuple(map(str, classes.tolist()))
    return ImageDataset(
        images=images, labels=labels.astype(np.int64), class_names=class_names, name=folder.resolve().name
    )


def read_idx(path: Path, *, num_dimensions: int) -> npt.NDArray[np.uint8]:
    """The uint8 array of `num_dimensions` that an IDX file holds. Raises DatasetError."""
    try:
        with _open(path) as file:
            shape = _read_header(file, path, num_dimensions)
            expected_bytes = math.prod(shape)
            body = _read_at_most(file, expected_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); fetch it again") from error
    if len(body) < expected_bytes:
        raise DatasetError(
            f"{path}: truncated, {len(body):,} of the {expected_bytes:,} bytes that its header promises; fetch it again"
        )
    if len(body) > expected_bytes:
        raise DatasetError(
            f"{path}: goes on after the {expected_bytes:,} bytes that its header promises; fetch it again"
        )
    return np.frombuffer(body, dtype=np.uint8).reshape(shape).copy()


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
