"""What surrounds an image's pixels. It turns the image upright and decides nothing else, whatever is in it.

EXIF, XMP, colour profiles and comments are written by thousands of programs, some of them wrong. Pillow gives an image
up over some of these; `without_metadata` is the way round that.
"""

from __future__ import annotations

import io
from typing import IO

from PIL import ExifTags, Image, ImageOps

_UPRIGHT = 1
_ON_ITS_SIDE = frozenset({5, 6, 7, 8})
# PNG, third edition, 11.2 and 11.3.1: what the pixels depend on.
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_PNG_EXIF = b"eXIf"
# ITU-T T.81, B.1.1.3: segments without a length, application segments, comments, and where the pixels begin.
_JPEG_START, _JPEG_SCAN, _JPEG_COMMENT = 0xD8, 0xDA, 0xFE
_JPEG_BARE = frozenset({0x01, _JPEG_START, 0xD9, *range(0xD0, 0xD8)})
_JPEG_APPLICATION = range(0xE0, 0xF0)
_JPEG_EXIF, _JPEG_EXIF_START = 0xE1, b"Exif\0\0"
# JFIF (at least 14 bytes) and Adobe's segment tell how colours are stored.
_JPEG_JFIF, _MIN_JFIF_BYTES, _JPEG_ADOBE, _MIN_ADOBE_BYTES = 0xE0, 14, 0xEE, 12


def orientation(image: Image.Image) -> int:
    """How the stored rows and columns lie in the scene, 1 to 8 as EXIF's tag 0x0112 has it; 1 where nothing says so.

    A PNG may say it after its pixels, which is seen once they are loaded. A TIFF is turned by Pillow.
    """
    try:
        # Pillow would decode a PNG to look there.
        exif = image.getexif() if image.format != "PNG" else Image.Image.getexif(image)
        value = exif.get(ExifTags.Base.Orientation, _UPRIGHT)
    except Exception:  # noqa: BLE001 — Pillow raises whatever its parsing of metadata stumbles over
        return _UPRIGHT
    is_to_turn = image.format != "TIFF" and type(value) is int and 1 <= value <= max(_ON_ITS_SIDE)
    return value if is_to_turn else _UPRIGHT


def load(image: Image.Image) -> int:
    """Decodes an image. Returns its orientation."""
    if image.format == "PNG":
        image.load()
        return orientation(image)
    # First, because Pillow parses the metadata of a TIFF while it loads it, and does not parse them twice.
    number = orientation(image)
    image.load()
    return number


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height as they are once the image is turned upright."""
    width, height = image.size
    return (height, width) if orientation(image) in _ON_ITS_SIDE else (width, height)


def turned_upright(image: Image.Image, number: int) -> Image.Image:
    """`image`, stored with orientation `number`, as the scene was. It keeps no metadata."""
    image.info = {}
    if number == _UPRIGHT:
        return image
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = number
    image.info["exif"] = exif.tobytes()
    return ImageOps.exif_transpose(image)


def without_metadata(stream: IO[bytes]) -> tuple[IO[bytes], bytes] | None:
    """A PNG or JPEG reduced to what its pixels depend on, and its EXIF; None for what is neither, or is torn."""
    stream.seek(0)
    data = stream.read()
    try:
        if data.startswith(_PNG_SIGNATURE):
            return _bare_png(data)
        if data.startswith(bytes((0xFF, _JPEG_START))):
            return _bare_jpeg(data)
    except IndexError:
        return None
    return None


def _bare_png(data: bytes) -> tuple[IO[bytes], bytes]:
    kept, exif = [_PNG_SIGNATURE], b""
    place = len(_PNG_SIGNATURE)
    while place < len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4])
        kind = data[place + 4 : place + 8]
        if kind in _PNG_PIXELS:
            kept.append(data[place:end])
        elif kind == _PNG_EXIF:
            exif = _JPEG_EXIF_START + data[place + 8 : end - 4]
        place = end
    return io.BytesIO(b"".join(kept)), exif


def _bare_jpeg(data: bytes) -> tuple[IO[bytes], bytes]:
    kept, exif = [], b""
    place = 0
    while data[place + 1] != _JPEG_SCAN:
        marker = data[place + 1]
        if data[place] != 0xFF or marker == 0xFF:  # padding between segments
            place += 1
            continue
        if marker in _JPEG_BARE:
            kept.append(data[place : place + 2])
            place += 2
            continue
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4])
        content = data[place + 4 : end]
        if _is_for_pixels(marker, len(content)):
            kept.append(data[place:end])
        elif marker == _JPEG_EXIF and content.startswith(_JPEG_EXIF_START):
            exif = exif or content
        place = max(end, place + 2)
    return io.BytesIO(b"".join([*kept, data[place:]])), exif


def _is_for_pixels(marker: int, num_bytes: int) -> bool:
    if marker == _JPEG_JFIF:
        return num_bytes >= _MIN_JFIF_BYTES
    if marker == _JPEG_ADOBE:
        return num_bytes >= _MIN_ADOBE_BYTES
    return marker not in _JPEG_APPLICATION and marker != _JPEG_COMMENT
