"""Image files without their metadata, which says nothing of the pixels and which libraries stumble over."""

from __future__ import annotations

from typing import Final

_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PNG_FRAME_BYTES: Final = 12  # length, type and check sum of a chunk

_JPEG_SIGNATURE: Final = b"\xff\xd8"
_JPEG_SCAN: Final = 0xDA
_JPEG_JFIF: Final = 0xE0
_JPEG_JFIF_BYTES: Final = 16  # a shorter one is none
_JPEG_METADATA: Final = frozenset({*range(0xE1, 0xF0), 0xFE}) - {0xEE}  # JFIF and Adobe's tell how colours are coded


def without_metadata(data: bytes) -> bytes:
    """A PNG or JPEG file with nothing but what its pixels need; any other file, and a torn one, as it is."""
    if data.startswith(_PNG_SIGNATURE):
        return _critical_chunks(data)
    if data.startswith(_JPEG_SIGNATURE):
        return _pixel_segments(data)
    return data


def _critical_chunks(data: bytes) -> bytes:
    """Leaves out ancillary chunks, whose type begins with a lower-case letter (PNG specification, 5.4)."""
    kept = [_PNG_SIGNATURE]
    start = len(_PNG_SIGNATURE)
    while start < len(data):
        end = start + _PNG_FRAME_BYTES + int.from_bytes(data[start : start + 4], "big")
        if not data[start + 4 : start + 5].islower():
            kept.append(data[start:end])
        start = end
    return b"".join(kept)


def _pixel_segments(data: bytes) -> bytes:
    """Leaves out comments and application segments up to the first scan (ITU T.81, annex B)."""
    kept = [_JPEG_SIGNATURE]
    start = len(_JPEG_SIGNATURE)
    while data[start : start + 1] == b"\xff" and start + 4 <= len(data):
        marker = data[start + 1]
        if marker == _JPEG_SCAN:
            break
        if marker == 0xFF:  # any number of them may stand before a marker
            start += 1
            continue
        num_bytes = int.from_bytes(data[start + 2 : start + 4], "big")
        end = start + 2 + num_bytes
        if marker not in _JPEG_METADATA and not (marker == _JPEG_JFIF and num_bytes < _JPEG_JFIF_BYTES):
            kept.append(data[start:end])
        start = end
    kept.append(data[start:])
    return b"".join(kept)
