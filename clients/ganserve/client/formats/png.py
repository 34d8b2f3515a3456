"""PNG files that are the same bytes wherever they are written.

What a compressor makes of its input differs between zlib, its successors and their versions. So the rows are stored as
they are, in the blocks that the format has for that (RFC 1951, 3.2.4), and nothing is left to a library.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

import numpy as np

from ganserve.contract.images import Images

from .xmp import png_chunk

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES: Final = {1: 0, 3: 2}  # by number of channels
_MOST_STORED: Final = 65_535  # bytes of a block
_STREAM_HEADER: Final = b"\x78\x01"


def encode_png(images: Images) -> list[bytes]:
    """A file for each of uint8 (N, height, width, 1 or 3)."""
    count, height, width, channels = images.shape
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0))
    end = png_chunk(b"IEND", b"")
    # A row begins with the number of its filter; 0 is none.
    rows = np.zeros((count, height, 1 + width * channels), np.uint8)
    rows[:, :, 1:] = images.reshape(count, height, width * channels)
    return [b"".join((_SIGNATURE, header, png_chunk(b"IDAT", _store(image.tobytes())), end)) for image in rows]


def _store(data: bytes) -> bytes:
    """A zlib stream (RFC 1950) that holds the data uncompressed."""
    parts = [_STREAM_HEADER]
    for start in range(0, len(data), _MOST_STORED):
        block = data[start : start + _MOST_STORED]
        is_last = start + _MOST_STORED >= len(data)
        parts += [struct.pack("<BHH", is_last, len(block), len(block) ^ 0xFFFF), block]
    return b"".join((*parts, struct.pack(">I", zlib.adler32(data))))
