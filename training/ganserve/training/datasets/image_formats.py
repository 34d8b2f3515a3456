"""Which files are images that are read, which are images that are not, and which are neither.

Pillow would start Ghostscript for an EPS file, whatever its name, and reads rare formats by code that few have looked
at. So it is told what it may take a file for: formats that are common, that tell themselves by their first bytes, and
whose readers start no other program.
"""

from __future__ import annotations

from typing import Final

_SUFFIXES: Final[dict[str, tuple[str, ...]]] = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}

FORMATS: Final = tuple(_SUFFIXES)
"""Pillow's names of the formats that are read, whatever suffix a file has."""

IMAGE_SUFFIXES: Final = frozenset(suffix for suffixes in _SUFFIXES.values() for suffix in suffixes)
"""A file is an image that is read if its name ends so, in capitals or not."""

UNREAD_IMAGE_SUFFIXES: Final = frozenset(
    [
        ".heic",
        ".heif",
        ".avif",
        ".jxl",
        ".jp2",
        ".j2k",
        ".psd",
        ".eps",
        ".ai",
        ".svg",
        ".tga",
        ".ico",
        ".dds",
        ".exr",
        ".hdr",
        ".raw",
        ".dng",
        ".cr2",
        ".cr3",
        ".nef",
        ".arw",
        ".orf",
        ".rw2",
        ".raf",
        ".pcx",
        ".dcm",
        ".nii",
        ".fits",
    ]
)
"""Images of other formats, which are told apart from files that are no images at all."""
