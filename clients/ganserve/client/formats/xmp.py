"""XMP in image files: what says that an image is synthetic, and its address or how its samples were made.

XMP is specified in ISO 16684-1, where it lies in a file in part 3 of Adobe's "XMP Specification"; in PNG, WebP and JPEG
alike it stands apart from the pixels. The property `DigitalSourceType` and its values are those of IPTC's Photo
Metadata Standard (https://iptc.org/standards/photo-metadata/).
"""

from __future__ import annotations

import html
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Final

SYNTHETIC: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's name for what a trained model made."""

_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER_END: Final = len(_PNG_SIGNATURE) + 25  # behind the first chunk, IHDR
_PNG_KEYWORD: Final = b"XML:com.adobe.xmp\0\0\0\0\0"  # uncompressed, of no language
_JPEG_SIGNATURE: Final = b"\xff\xd8"
_JPEG_APP0: Final = 0xE0
_JPEG_APP1: Final = 0xE1
_JPEG_SCAN: Final = 0xDA
_JPEG_KEYWORD: Final = b"http://ns.adobe.com/xap/1.0/\0"
_WEBP_HEADER_BYTES: Final = 12
_WEBP_HAS_XMP: Final = 0x04

_NAMESPACE: Final = "ganserve:ns:1.0/"
_PACKET: Final = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    f'xmlns:ganserve="{_NAMESPACE}" Iptc4xmpExt:DigitalSourceType="{SYNTHETIC}"'
    '{properties}/></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)
# Other programs may write a property that they keep as an element.
_VALUE: Final = r"""\s*(?:=\s*"([^"]*)"|=\s*'([^']*)'|>([^<]*)<)"""


def mark(data: bytes, address: str | None = None, *, recipe: str | None = None) -> bytes:
    """A PNG, JPEG or WebP file without XMP, marked as synthetic. The pixels stay as they are.

    Args:
        data: the file.
        address: that of its sample, where it shows one that has one.
        recipe: how its samples were made, where it shows several.
    """
    properties = {"Address": address, "Recipe": recipe}
    written = [f' ganserve:{name}="{html.escape(text)}"' for name, text in properties.items() if text is not None]
    packet = _PACKET.replace("{properties}", "".join(written)).encode()
    if data.startswith(_PNG_SIGNATURE):
        return data[:_PNG_HEADER_END] + png_chunk(b"iTXt", _PNG_KEYWORD + packet) + data[_PNG_HEADER_END:]
    if data.startswith(_JPEG_SIGNATURE):
        return _insert_segment(data, _JPEG_KEYWORD + packet)
    return _append_webp_chunk(data, packet)


def find_address(data: bytes) -> str | None:
    """The address that a file was marked with; None where there is none."""
    return _find("Address", data)


def find_recipe(data: bytes) -> str | None:
    """How a file's samples were made, as it was marked; None where it does not say."""
    return _find("Recipe", data)


def is_marked(data: bytes) -> bool:
    """Whether `mark` has marked a file."""
    return any(_NAMESPACE.encode() in packet for packet in _packets(data))


def _find(name: str, data: bytes) -> str | None:
    for packet in _packets(data):
        if match := re.search(f"ganserve:{name}{_VALUE}", packet.decode(errors="replace")):
            return html.unescape(next(text for text in match.groups() if text is not None))
    return None


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file, with its length and check sum."""
    return b"".join((struct.pack(">I", len(content)), kind, content, struct.pack(">I", zlib.crc32(kind + content))))


def _insert_segment(data: bytes, content: bytes) -> bytes:
    """Behind the JFIF segment, which has to come first."""
    start = len(_JPEG_SIGNATURE)
    if data[start + 1] == _JPEG_APP0:
        start += 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    return data[:start] + struct.pack(">BBH", 0xFF, _JPEG_APP1, len(content) + 2) + content + data[start:]


def _append_webp_chunk(data: bytes, content: bytes) -> bytes:
    """Puts the header of an extended file in front, where a simple one has none, and the chunk at the end."""
    chunks = dict(_webp_chunks(data))
    extended = chunks.get(b"VP8X") or struct.pack("<4x3s3s", *(_uint24(side - 1) for side in _webp_size(chunks)))
    header = bytes([extended[0] | _WEBP_HAS_XMP]) + extended[1:]
    written = {b"VP8X": header} | chunks | {b"VP8X": header, b"XMP ": content}
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(part)) + part + b"\0" * (len(part) % 2) for kind, part in written.items()
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _webp_size(chunks: dict[bytes, bytes]) -> tuple[int, int]:
    """Width and height, from the header of the one bitstream (RFC 9649, 2.5 and 2.6)."""
    if lossless := chunks.get(b"VP8L"):
        bits = int.from_bytes(lossless[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack("<HH", chunks[b"VP8 "][6:10])
    return width & 0x3FFF, height & 0x3FFF


def _uint24(value: int) -> bytes:
    return value.to_bytes(3, "little")


def _packets(data: bytes) -> Iterator[bytes]:
    if data.startswith(_PNG_SIGNATURE):
        yield from (part[len(_PNG_KEYWORD) :] for part in _png_chunks(data) if part.startswith(_PNG_KEYWORD))
    elif data.startswith(_JPEG_SIGNATURE):
        yield from (part[len(_JPEG_KEYWORD) :] for part in _jpeg_segments(data) if part.startswith(_JPEG_KEYWORD))
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        yield from (part for kind, part in _webp_chunks(data) if kind == b"XMP ")


def _png_chunks(data: bytes) -> Iterator[bytes]:
    """The content of each text chunk."""
    start = len(_PNG_SIGNATURE)
    while start + 8 <= len(data):
        end = start + 8 + int.from_bytes(data[start : start + 4], "big")
        if data[start + 4 : start + 8] == b"iTXt":
            yield data[start + 8 : end]
        start = end + 4


def _jpeg_segments(data: bytes) -> Iterator[bytes]:
    """The content of each segment before the first scan."""
    start = len(_JPEG_SIGNATURE)
    while data[start : start + 1] == b"\xff" and data[start + 1 : start + 2] != bytes([_JPEG_SCAN]):
        end = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        yield data[start + 4 : end]
        start = end


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = _WEBP_HEADER_BYTES
    while start + 8 <= len(data):
        (length,) = struct.unpack("<I", data[start + 4 : start + 8])
        yield data[start : start + 4], data[start + 8 : start + 8 + length]
        start += 8 + length + length % 2
