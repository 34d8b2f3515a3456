"""Metadata of any shape turn an image upright and do nothing else."""

from __future__ import annotations

import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from ganserve.contract.errors import DatasetError
from ganserve.training.datasets import Resize, load
from ganserve.training.datasets.image_files import ImageFile, read_header, read_pixels

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 6), dtype=np.uint8)
ORIENTATION = 0x0112


def png(*chunks: tuple[bytes, bytes], at_end: bool = False) -> bytes:
    """A PNG of `PIXELS` with more chunks before or behind its pixels."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG")
    data = file.getvalue()
    place = len(data) - 12 if at_end else 33
    more = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return data[:place] + more + data[place:]


def jpeg(marker: int, body: bytes) -> bytes:
    """A JPEG of `PIXELS` with one more segment in front."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG")
    data = file.getvalue()
    return data[:2] + bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body + data[2:]


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags.tobytes()


def raw_profile(data: bytes) -> bytes:
    """EXIF as ImageMagick writes it into a PNG's text."""
    return b"Raw profile type exif\0\nexif\n%8d\n%b\n" % (len(data), data.hex().encode())


def read(data: bytes) -> np.ndarray:
    file = ImageFile("0", None, lambda: io.BytesIO(data))
    header = read_header(file)
    pixels = read_pixels(file, 1)
    assert pixels.shape[:2] == (header.height, header.width)
    return pixels[:, :, 0]


@pytest.mark.parametrize(
    "data",
    [
        png((b"iCCP", b"a\0\0" + zlib.compress(bytes(5 * 2**20)))),
        png((b"zTXt", b"a\0\0" + zlib.compress(bytes(5 * 2**20)))),
        png((b"zTXt", b"a\0\0" + zlib.compress(bytes(5 * 2**20))), at_end=True),
        png((b"gAMA", b"a")),
        png((b"iCCP", b"a\0\7a")),
        png((b"eXIf", b"")),
        png((b"eXIf", b"no exif")),
        png((b"tEXt", b"Raw profile type exif\0none")),
        png((b"tEXt", b"Raw profile type exif\0\n\n\nzz")),
        png((b"tEXt", b"XML:com.adobe.xmp\0tiff:Orientation=")),
        png((b"eXIf", b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHI", ORIENTATION, 3, 1) + b"\x09\0\0\0")),
        png((b"eXIf", b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHI", ORIENTATION, 2, 4) + b"six\0")),
        png((b"eXIf", b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHI", ORIENTATION, 5, 1) + b"\xff\0\0\0")),
    ],
)
def test_a_png_with_any_metadata_is_its_pixels(data: bytes) -> None:
    np.testing.assert_array_equal(read(data), PIXELS)


@pytest.mark.parametrize(
    ("marker", "body"),
    [
        (0xE0, b"JFIF\0"),
        (0xE1, b"Exif\0\0"),
        (0xE1, b"Exif\0\0no exif"),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0tiff:Orientation="),
        (0xE2, b"MPF\0II*\0\x08\0\0\0\0\0"),
        (0xE2, b"ICC_PROFILE\0" + bytes(60_000)),
        (0xED, b"Photoshop 3.0\x008BIM\3\xed"),
        (0xEE, b"Adobe"),
        (0xFE, b"\xff\xd9"),
    ],
)
def test_a_jpeg_with_any_metadata_is_its_pixels(marker: int, body: bytes) -> None:
    np.testing.assert_array_equal(read(jpeg(marker, body)), read(jpeg(0xFE, b"")))


@pytest.mark.parametrize("kind", ["eXIf", "raw profile"])
@pytest.mark.parametrize("with_a_profile_in_the_way", [False, True])
def test_exif_turns_a_png(kind: str, with_a_profile_in_the_way: bool) -> None:
    chunks = [(b"eXIf", exif(6)[6:]) if kind == "eXIf" else (b"tEXt", raw_profile(exif(6)))]
    if with_a_profile_in_the_way and kind == "eXIf":
        chunks.append((b"iCCP", b"a\0\0" + zlib.compress(bytes(5 * 2**20))))
    np.testing.assert_array_equal(read(png(*chunks)), np.rot90(PIXELS, -1))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_a_tiff_is_turned_once(orientation: int, compression: str) -> None:
    file, plain = io.BytesIO(), io.BytesIO()
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    Image.fromarray(PIXELS).save(file, "TIFF", exif=tags, compression=compression)
    Image.fromarray(PIXELS).save(plain, "PNG", exif=tags)
    np.testing.assert_array_equal(read(file.getvalue()), read(plain.getvalue()))


def test_exif_behind_the_pixels_of_a_png_turns_it_or_is_told(tmp_path: Path) -> None:
    late = png((b"eXIf", exif(6)[6:]), at_end=True)
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_bytes(png())
    (tmp_path / "c.png").write_bytes(late)
    with pytest.raises(
        DatasetError, match=r"give --size.*c\.png \(4×6 once it is turned as the EXIF behind its pixels"
    ):
        load(str(tmp_path))
    images = load(str(tmp_path), resize=Resize.parse("6")).images
    (tmp_path / "c.png").write_bytes(png((b"eXIf", exif(6)[6:])))
    np.testing.assert_array_equal(load(str(tmp_path), resize=Resize.parse("6")).images, images)


def test_random_exif_never_raises() -> None:
    rng = random.Random(0)  # noqa: S311 — to repeat the test
    turned = [np.rot90(mirrored, turns) for mirrored in (PIXELS, PIXELS[:, ::-1]) for turns in range(4)]
    for _ in range(300):
        tags = b"".join(
            struct.pack(
                "<HHII",
                rng.choice([ORIENTATION, 0x011A, 0x0128, 0x8769, 0x8825, 0x927C, rng.randrange(2**16)]),
                rng.randrange(16),
                rng.choice([0, 1, 2, 5, 1000, 2**31]),
                rng.choice([0, 1, 3, 6, 9, 100, 2**32 - 1]),
            )
            for _ in range(3)
        )
        body = b"II*\0\x08\0\0\0\x03\0" + tags + rng.randbytes(rng.randrange(40))
        pixels = read(png((b"eXIf", body)))
        assert any(np.array_equal(pixels, one) for one in turned)
        assert read(jpeg(0xE1, b"Exif\0\0" + body)).size == PIXELS.size


def test_pillows_own_limits_are_left_alone() -> None:
    before = PngImagePlugin.MAX_TEXT_CHUNK, Image.MAX_IMAGE_PIXELS
    read(png((b"iCCP", b"a\0\0" + zlib.compress(bytes(5 * 2**20)))))
    assert before == (PngImagePlugin.MAX_TEXT_CHUNK, Image.MAX_IMAGE_PIXELS)
