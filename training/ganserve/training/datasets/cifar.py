"""CIFAR-10 and CIFAR-100 in the Python version of https://www.cs.toronto.edu/~kriz/cifar.html.

The tarball, or the folder that was unpacked from it, holds pickles, which may hold code. They are read by an unpickler
that knows three names, none of which runs anything, and no file is extracted.
"""

from __future__ import annotations

import os
import pickle  # noqa: TID251 — the format is pickle; `_Unpickler` below runs nothing of it.
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any, ClassVar

import numpy as np
import numpy.typing as npt

from ganserve.contract.errors import DatasetError

from . import fingerprints
from .archives import BROKEN
from .cache import cached
from .dataset import ImageDataset, Split
from .decoding import Decoded, WritePixels
from .image_files import open_regular

_MAX_MEMBERS = 64
_MAX_MEMBER_BYTES = 512 * 2**20
_SIDE = 32
_FILES: dict[Split, str] = {"train": r"data_batch_\d+|train", "test": r"test_batch|test"}
_NAMES = r"batches\.meta|meta"
_FOLDER_MARKS = (
    ("batches.meta", "data_batch_1"),
    ("batches.meta", "test_batch"),
    ("meta", "train"),
    ("meta", "test"),
)
_LABEL_KEYS = (b"fine_labels", b"labels")
_NAME_KEYS = (b"fine_label_names", b"label_names")
_UNPICKLABLE = (
    pickle.UnpicklingError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    EOFError,
    OverflowError,
    MemoryError,
    ImportError,
)


def holds_cifar(folder: Path) -> bool:
    """Whether `folder` is what CIFAR's tarball unpacks to, such as `cifar-10-batches-py`."""
    return any(all((folder / name).is_file() for name in names) for names in _FOLDER_MARKS)


def load_cifar(path: Path, split: Split) -> ImageDataset | None:
    """The images of the split, with the fine labels of CIFAR-100; None where there is no such split.

    The cache is keyed by the real path, size and times of the tarball, or of the files in the folder. Raises
    DatasetError.
    """
    files = [path] if path.is_file() else _files_of(path, split)
    name = path.name.partition(".")[0] or path.resolve().name
    key = fingerprints.of_text("cifar", split, fingerprints.of_files(path.parent, files))
    try:
        return cached(key, name, lambda write: _decode(path, split, write))
    except _NoSuchSplitError:
        return None


class _NoSuchSplitError(Exception):
    """The tarball has only the other split."""


def _decode(path: Path, split: Split, write: WritePixels) -> Decoded:
    contents = _read_members(path, split)
    batches = [batch for name, batch in sorted(contents.items()) if not re.fullmatch(_NAMES, name)]
    if not batches:
        raise _NoSuchSplitError
    labels: list[int] = []
    for batch in batches:
        pixels = _pixels(batch, path)
        write(pixels)
        labels += _labels(batch, len(pixels), path)
    names = _class_names([meta for name, meta in contents.items() if re.fullmatch(_NAMES, name)], path)
    class_names = names or tuple(str(number) for number in range(max(labels) + 1))
    if not 0 <= min(labels) <= max(labels) < len(class_names):
        raise DatasetError(f"{path}: has labels that have no name; fetch it again")
    return Decoded(_SIDE, _SIDE, 3, np.array(labels, dtype=np.int64), class_names)


def _read_members(path: Path, split: Split) -> dict[str, dict[Any, Any]]:
    """The unpickled files that matter, by name, read in the order in which they lie."""
    members = _in_tarball(path, split) if path.is_file() else _in_folder(path, split)
    try:
        contents = {PurePosixPath(name).name: _unpickle(file, f"{path}: {name}") for name, file in members}
    except (tarfile.TarError, *BROKEN) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); fetch it again") from error
    if not contents:
        raise DatasetError(f"{path}: a tarball, but not CIFAR's Python version; unpack it and give the folder")
    return contents


def _in_tarball(path: Path, split: Split) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(path) as tar:
        for index, member in enumerate(tar):
            if index >= _MAX_MEMBERS or member.size > _MAX_MEMBER_BYTES:
                raise DatasetError(
                    f"{path}: not CIFAR's tarball, {member.name} is too large or one too many; unpack it and give the "
                    "folder"
                )
            if member.isreg() and _is_of(split, PurePosixPath(member.name).name):
                file = tar.extractfile(member)
                if file is not None:
                    yield member.name, file


def _in_folder(folder: Path, split: Split) -> Iterator[tuple[str, IO[bytes]]]:
    for path in _files_of(folder, split):
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > _MAX_MEMBER_BYTES:
                raise DatasetError(f"{path}: not one of CIFAR's files, it is too large; fetch the original")
            yield path.name, file


def _files_of(folder: Path, split: Split) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and _is_of(split, path.name))


def _is_of(split: Split, name: str) -> bool:
    return re.fullmatch(f"{_FILES[split]}|{_NAMES}", name) is not None


def _unpickle(file: IO[bytes], what: str) -> dict[Any, Any]:
    try:
        content = _Unpickler(file, encoding="bytes").load()
    except _UNPICKLABLE as error:
        raise DatasetError(f"{what}: not one of CIFAR's files ({error}); fetch the original") from error
    if not isinstance(content, dict):
        raise DatasetError(f"{what}: not one of CIFAR's files; fetch the original")
    return content


def _pixels(batch: dict[Any, Any], path: Path) -> npt.NDArray[np.uint8]:
    """uint8 (N, 32, 32, 3). A row of a batch is 1024 red, 1024 green, then 1024 blue levels."""
    array = batch.get(b"data")
    if not isinstance(array, _Array) or array.pixels.size == 0 or array.pixels.shape[1:] != (3 * _SIDE * _SIDE,):
        raise DatasetError(f"{path}: holds no 32×32 images in colour; fetch it again")
    planes = array.pixels.reshape(-1, 3, _SIDE, _SIDE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1))


def _labels(batch: dict[Any, Any], num_images: int, path: Path) -> list[int]:
    labels = next((batch[key] for key in _LABEL_KEYS if key in batch), None)
    if not isinstance(labels, list) or len(labels) != num_images or not all(type(label) is int for label in labels):
        raise DatasetError(f"{path}: does not hold one label an image; fetch it again")
    return labels


def _class_names(metas: Sequence[dict[Any, Any]], path: Path) -> tuple[str, ...]:
    names: Any = next((meta[key] for meta in metas for key in _NAME_KEYS if key in meta), [])
    if not isinstance(names, list) or not all(isinstance(name, bytes) for name in names):
        raise DatasetError(f"{path}: its class names are no texts; fetch it again")
    return tuple(name.decode("utf-8", "replace") for name in names)


class _Array:
    """Stands in for numpy.ndarray: takes the state of an array of uint8 and refuses any other."""

    pixels: npt.NDArray[np.uint8] = np.empty(0, dtype=np.uint8)

    def __setstate__(self, state: Any) -> None:
        match state:
            case (_, tuple(shape), _Dtype(code=b"u1" | "u1"), is_fortran, bytes(data)):
                self.pixels = np.frombuffer(data, dtype=np.uint8).reshape(shape, order="F" if is_fortran else "C")
            case _:
                raise pickle.UnpicklingError("an array that is not of uint8")


class _Dtype:
    """Stands in for numpy.dtype."""

    def __init__(self, code: Any = None, *_: Any) -> None:
        self.code = code

    def __setstate__(self, state: Any) -> None:
        """What follows the code, such as the byte order, does not matter to bytes."""


def _reconstruct(*_: Any) -> _Array:
    return _Array()


class _Unpickler(pickle.Unpickler):
    """Knows the names that an array of numbers needs, and no others."""

    _KNOWN: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy", "ndarray"): None,
        ("numpy", "dtype"): _Dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a name. Raises UnpicklingError for one that is not known."""
        if (module, name) not in self._KNOWN:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return self._KNOWN[module, name]
