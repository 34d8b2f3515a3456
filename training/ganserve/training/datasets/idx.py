"""MNIST-style IDX files, gzipped or not. The format is described at the end of http://yann.lecun.com/exdb/mnist/."""

from __future__ import annotations

import dataclasses
import gzip
import math
import re
import struct
from dataclasses import dataclass
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
from .emnist import character_names, is_emnist
from .splits import SPLITS
from .values import labelled_by_value

_SPLIT_NAMES: dict[Split, tuple[str, ...]] = {"train": ("train",), "test": ("t10k", "test")}
_IMAGES = "images-idx3-ubyte"
_LABELS = "labels-idx1-ubyte"
# MNIST's names begin with the split, EMNIST's with a name such as `emnist-letters-`; some write `images.idx3-ubyte`.
_IMAGES_FILE = re.compile(r"(?P<prefix>(?:.+-)?)(?P<split>train|t10k|test)-images[-.]idx3-ubyte(?:\.gz)?")
_UNSIGNED_BYTE = 0x08
_PIECE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class IdxFiles:
    """The files of one dataset: those in `folder` whose names begin with `prefix`."""

    folder: Path
    prefix: str = ""

    @property
    def name(self) -> str:
        """Short name of the dataset."""
        return self.prefix.rstrip("-") or self.folder.resolve().name

    @property
    def images_path(self) -> Path:
        """The file of images that stands for all of them: that to train on, where there is one."""
        found = (self.find(split, _IMAGES) for split in SPLITS)
        return next((path for path in found if path is not None), self.folder)

    def find(self, split: Split, kind: str) -> Path | None:
        """The file of images or labels of a split, in either spelling, gzipped or not."""
        names = (f"{self.prefix}{word}-{kind}" for word in _SPLIT_NAMES[split])
        spellings = (spelling for name in names for spelling in (name, name.replace("-idx", ".idx")))
        paths = (self.folder / f"{spelling}{suffix}" for spelling in spellings for suffix in ("", ".gz"))
        return next((path for path in paths if path.is_file()), None)


def find_idx(folder: Path) -> list[IdxFiles]:
    """The IDX datasets whose files lie in `folder`, of either split."""
    matches = (_IMAGES_FILE.fullmatch(path.name) for path in folder.iterdir())
    return [IdxFiles(folder, prefix) for prefix in sorted({match["prefix"] for match in matches if match})]


def idx_of_file(path: Path) -> IdxFiles | None:
    """The dataset that a file of images belongs to; None where it is not named like one."""
    match = _IMAGES_FILE.fullmatch(path.name)
    return None if match is None else IdxFiles(path.parent, match["prefix"])


def load_idx(files: IdxFiles, split: Split = "train") -> ImageDataset | None:
    """The images of the split and, where there is a labels file, their labels; None where it has no such split.

    A class is a value that occurs among the training labels. EMNIST's images, which are stored column by column, are
    turned upright, and its classes have the characters that they stand for as names. The cache is keyed by the folder's
    real path and the names, sizes and times of the files. Raises DatasetError.
    """
    images_path = files.find(split, _IMAGES)
    if images_path is None:
        return None
    labels_paths = [files.find(one, _LABELS) for one in SPLITS]
    paths = [path for path in (images_path, *labels_paths) if path is not None]
    key = fingerprints.of_text("idx", split, fingerprints.of_files(files.folder, paths))
    return cached(key, files.name, lambda write: _decode(files, images_path, split, write))


def _decode(files: IdxFiles, images_path: Path, split: Split, write: WritePixels) -> Decoded:
    images = read_idx(images_path, num_dimensions=3)[..., np.newaxis]
    values = _read_labels(files, split)
    if values is not None and len(values) != len(images):
        raise DatasetError(
            f"{files.folder}: its {split} labels file holds {len(values)} labels but {images_path.name} holds "
            f"{len(images)} images; take both from one download"
        )
    train_values = values if split == "train" else _read_labels(files, "train")
    decoded = labelled_by_value(images.shape, values, train_values, str(files.folder))
    if is_emnist(files.prefix):
        images = images.transpose(0, 2, 1, 3)
        decoded = dataclasses.replace(
            decoded,
            height=decoded.width,
            width=decoded.height,
            class_names=character_names(files.prefix, decoded.class_names),
            notes=("EMNIST stores its images column by column; they are turned upright",),
        )
    write(images)
    return decoded


def _read_labels(files: IdxFiles, split: Split) -> npt.NDArray[np.uint8] | None:
    path = files.find(split, _LABELS)
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


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")
