"""Addressed textures: index `i` of seed `s` is the same picture on every machine, for models that take images.

They have detail at every scale, as photographs do, so that what a model makes of them shows what it does.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ganserve.contract.latents import IndexRange, draw_words

_TEXTURE_TAG: Final = int.from_bytes(b"gan-tex1", "big")
_OCTAVES: Final = ((1, 1), (4, 2), (16, 4), (64, 8))
"""Pixels between the points of a lattice, and its weight."""
_BYTES_PER_WORD: Final = 8


def sample_textures(
    seed: int, first_index: int, count: int, shape: tuple[int, int, int], *, number: int = 0
) -> NDArray[np.uint8]:
    """Textures uint8 (count, height, width, channels) of the indices from `first_index` on.

    Each is the weighted mean of four lattices of random bytes, interpolated bilinearly (value noise), in whole numbers
    all the way. `number` tells the images of one sample apart.
    """
    height, width, channels = shape
    sizes = [(-(-height // cell) + 1, -(-width // cell) + 1, channels) for cell, _ in _OCTAVES]
    num_bytes = sum(rows * columns * channels for rows, columns, channels in sizes)
    words = draw_words([IndexRange(seed, first_index, count)], _TEXTURE_TAG + number, -(-num_bytes // _BYTES_PER_WORD))
    drawn = np.ascontiguousarray(words, dtype="<u8").view(np.uint8)
    total = np.zeros((count, *shape), np.int64)
    start = 0
    for (cell, weight), size in zip(_OCTAVES, sizes, strict=True):
        stop = start + int(np.prod(size))
        total += weight * _interpolated(drawn[:, start:stop].reshape(count, *size), cell)[:, :height, :width]
        start = stop
    return (total // sum(weight for _, weight in _OCTAVES)).astype(np.uint8)


def _interpolated(lattice: NDArray[np.uint8], cell: int) -> NDArray[np.int64]:
    """Bilinear between the points of a lattice (N, rows, columns, C), which lie `cell` pixels apart; rounded down."""
    along_height = _between(lattice.astype(np.int64), cell, axis=1)
    return _between(along_height, cell, axis=2) // cell**2


def _between(values: NDArray[np.int64], cell: int, *, axis: int) -> NDArray[np.int64]:
    """`cell` times the values between neighbours along an axis."""
    repeated = np.repeat(values, cell, axis)
    first, second = np.split(repeated, [-cell], axis)[0], np.split(repeated, [cell], axis)[1]
    way = np.arange(first.shape[axis]) % cell
    way = way.reshape([-1 if number == axis else 1 for number in range(values.ndim)])
    return first * (cell - way) + second * way
