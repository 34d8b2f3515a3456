"""NumPy arrays: images, indices, seed and digest, and where there are classes, labels and all class names."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ganserve.contract.files import uncompressed_zip

from .contents import Contents
from .zip import fixed_entry

if TYPE_CHECKING:
    from ganserve.client._samples.samples import Samples


@contextmanager
def writing_npz(path: Path, contents: Contents) -> Iterator[NpzWriter]:
    """Writes a file with images uint8 (N, height, width, channels). Raises OSError."""
    with uncompressed_zip(path) as archive:
        with archive.open(fixed_entry("images.npy"), "w", force_zip64=True) as images:
            np.lib.format.write_array_header_1_0(
                images, {"descr": "|u1", "fortran_order": False, "shape": (contents.count, *contents.shape)}
            )
            writer = NpzWriter(images)
            yield writer
        for name, array in writer.arrays(contents).items():
            archive.writestr(fixed_entry(f"{name}.npy"), _npy(array))


class NpzWriter:
    """Writes images as they come, and holds what else there is to a sample."""

    def __init__(self, images: IO[bytes]) -> None:
        self.num_bytes = 0
        self._images = images
        self._last: Samples | None = None
        self._indices: list[NDArray[np.uint64]] = []
        self._labels: list[NDArray[np.int64]] = []

    def add(self, samples: Samples) -> None:
        pixels = np.ascontiguousarray(samples.numpy())
        self._images.write(pixels.data.cast("B"))
        self.num_bytes += pixels.nbytes
        self._last = samples
        self._indices.append(samples.indices)
        if samples.labels is not None:
            self._labels.append(samples.labels)

    def arrays(self, contents: Contents) -> dict[str, NDArray[Any]]:
        """All arrays but the images, by name."""
        if self._last is None:
            return {}
        arrays: dict[str, NDArray[Any]] = {"indices": np.concatenate(self._indices)}
        if self._last.seed is not None:
            arrays["seed"] = np.array(self._last.seed, np.uint64)
        asked = {"truncation": self._last.truncation, "spread": self._last.spread, **self._last.chain}
        arrays |= {name: np.array(value) for name, value in asked.items() if value is not None}
        arrays["digest"] = np.array(self._last.model.digest)
        if self._labels:
            arrays["labels"] = np.concatenate(self._labels)
            arrays["class_names"] = np.array(contents.class_names, np.str_)
        return arrays


def _npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()
