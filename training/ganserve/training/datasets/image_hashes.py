"""Hashes of single images, few enough to travel in a card, by which others are looked up among them.

Of all hashes only the smallest are kept: a bottom-k sketch (Cohen and Kaplan, Summarizing Data using Bottom-k Sketches,
2007). Hashes are spread evenly, so images whose hash is no larger than the largest kept one are a random sample of all
images, and of each of them it is known whether it is among those that were hashed.
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

MOST_HASHES: Final = 256
_BYTES: Final = 8
_TYPE: Final = np.dtype(">u8")


class Known(NamedTuple):
    """What a sketch says of some images."""

    num_checked: int
    """Those that it says anything of."""

    num_known: int
    """Those of them that were hashed."""


def smallest_hashes(images: npt.NDArray[np.uint8]) -> bytes:
    """The sketch of images (N, H, W, C), as `DatasetFingerprint.image_hashes` has it: 8 bytes a hash, ascending."""
    return np.unique(_hashes(images))[:MOST_HASHES].astype(_TYPE).tobytes()


def look_up(images: npt.NDArray[np.uint8], sketch: bytes) -> Known:
    """How many of the images (N, H, W, C), those that the sketch can tell of, are among those that it is of.

    Images of another shape are never among them. An empty sketch tells of none.
    """
    kept = np.frombuffer(sketch[: len(sketch) // _BYTES * _BYTES], _TYPE)
    if len(kept) == 0:
        return Known(0, 0)
    hashes = _hashes(images)
    is_checked = hashes <= kept.max() if len(kept) >= MOST_HASHES else np.ones(len(hashes), np.bool_)
    return Known(int(is_checked.sum()), int(np.isin(hashes[is_checked], kept).sum()))


def _hashes(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    shape = np.asarray(images.shape[1:], "<u4").tobytes()
    digests = b"".join(hashlib.sha256(shape + image.tobytes()).digest()[:_BYTES] for image in images)
    return np.frombuffer(digests, _TYPE).astype(np.uint64)
