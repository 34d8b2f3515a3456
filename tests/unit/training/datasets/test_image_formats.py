"""Which formats are read, and how images of other depths, channels and sizes become pixels."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from ganserve.contract.errors import DatasetError
from ganserve.training.datasets import Resize, load
from ganserve.training.datasets.inspection import inspect_source

WriteImage = Callable[..., None]
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)


def deep_png(levels: np.ndarray, colour_type: int, *chunks: bytes) -> bytes:
    """A PNG of 16 bits a channel. Colour types are those of the PNG specification, 11.2.1."""
    height, width = levels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    parts = (chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize("suffix", ["png", "apng", "bmp", "tif", "tiff", "TIF", "ppm", "pnm", "webp", "gif"])
def test_lossless_formats_give_the_same_pixels(tmp_path: Path, suffix: str) -> None:
    name = {"apng": "PNG", "pnm": "PPM", "TIF": "TIFF", "tif": "TIFF"}.get(suffix, suffix.upper())
    options = {"lossless": True} if name == "WEBP" else {}
    pixels = PIXELS if name != "GIF" else np.repeat(np.repeat(PIXELS[:1, :1], 5, axis=0), 6, axis=1)
    Image.fromarray(np.ascontiguousarray(pixels)).save(tmp_path / f"0.{suffix}", name, **options)
    np.testing.assert_array_equal(load(str(tmp_path)).images[0], pixels)


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "JPG"])
def test_jpeg_by_its_other_names(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(PIXELS).save(tmp_path / f"0.{suffix}", "JPEG", quality=100, subsampling=0)
    np.testing.assert_allclose(load(str(tmp_path)).images[0].astype(int), PIXELS, atol=4)


def test_a_class_of_gifs_is_a_class(tmp_path: Path, write_image: WriteImage) -> None:
    write_image(tmp_path / "pets" / "cat" / "0.png", mode="RGB", level=7)
    Image.new("RGB", (6, 5), (9, 9, 9)).save(tmp_path / "pets" / "0.gif")
    (tmp_path / "pets" / "dog").mkdir()
    (tmp_path / "pets" / "0.gif").rename(tmp_path / "pets" / "dog" / "0.gif")
    dataset = load(str(tmp_path / "pets"))
    assert dataset.class_names == ("cat", "dog")
    assert dataset.images[:, 0, 0, 0].tolist() == [7, 9]


def test_of_an_animation_the_first_frame_is_taken_and_said(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (6, 5), (level, 0, 0)) for level in (10, 200)]
    (tmp_path / "moving").mkdir()
    for suffix in ("gif", "png", "tif"):
        frames[0].save(tmp_path / "moving" / f"0.{suffix}", save_all=True, append_images=frames[1:])
    for _ in range(2):  # once decoded, once from the cache
        dataset = load(str(tmp_path / "moving"))
        assert dataset.images[:, 0, 0, 0].tolist() == [10, 10, 10]
        assert dataset.notes == ("images of several frames or pages, of which the first is used: 3",)


@pytest.mark.parametrize("name", ["EPS", "JPEG2000", "PCX", "SGI", "TGA", "ICO"])
def test_what_a_file_is_named_opens_no_other_format(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: object) -> None:
        raise AssertionError("Ghostscript was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", start)
    Image.new("RGB", (16, 16)).save(tmp_path / "0.png", name)
    with pytest.raises(DatasetError, match=r"0\.png \(not an image\)"):
        load(str(tmp_path))


@pytest.mark.parametrize("colour_type", [0, 2])
def test_of_sixteen_bits_the_upper_eight_are_taken(tmp_path: Path, colour_type: int) -> None:
    levels = np.array([0, 255, 256, 511, 12345, 65535], dtype=np.uint16).reshape(2, 3)
    channels = 1 if colour_type == 0 else 3
    stacked = np.stack([levels] * channels, axis=-1)
    (tmp_path / "0.png").write_bytes(deep_png(stacked, colour_type))
    dataset = load(str(tmp_path))
    np.testing.assert_array_equal(dataset.images[0], stacked >> 8)
    assert dataset.notes == ("images of 16 bits a channel, of which the upper 8 are used: 1",)


@pytest.mark.parametrize("suffix", ["tif", "pgm"])
def test_sixteen_bits_in_other_formats(tmp_path: Path, suffix: str) -> None:
    levels = np.array([[0, 255, 256], [511, 12345, 65535]], dtype=np.uint16)
    Image.fromarray(levels).save(tmp_path / f"0.{suffix}")
    np.testing.assert_array_equal(load(str(tmp_path)).images[0, :, :, 0], levels >> 8)


def test_a_transparent_level_of_sixteen_bits_is_black(tmp_path: Path) -> None:
    levels = np.array([[1000, 2000]], dtype=np.uint16)
    (tmp_path / "0.png").write_bytes(deep_png(levels, 0, chunk(b"tRNS", struct.pack(">H", 2000))))
    assert load(str(tmp_path)).images[0, 0, :, 0].tolist() == [1000 >> 8, 0]


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk_becomes_rgb(tmp_path: Path, suffix: str) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / f"0.{suffix}")
    np.testing.assert_allclose(load(str(tmp_path)).images[0, 0, 0].astype(int), [255, 0, 0], atol=3)


def test_modes_that_are_no_levels_are_refused(tmp_path: Path) -> None:
    Image.new("F", (6, 5)).save(tmp_path / "0.tif")
    with pytest.raises(DatasetError, match=r"pixels of mode F; save it with 8 or 16 bits a channel"):
        load(str(tmp_path))


class TestLargeImages:
    """Of 24 megapixels, as cameras take them: one plain area a quarter."""

    @staticmethod
    def write(path: Path) -> None:
        quarters = np.repeat(np.repeat(np.array([[20, 90], [160, 230]], np.uint8), 2000, axis=0), 3000, axis=1)
        exif = Image.Exif()
        exif[0x0112] = 3
        Image.fromarray(quarters).save(path, exif=exif)

    @pytest.mark.parametrize("suffix", ["jpg", "png"])
    @pytest.mark.parametrize("mode", ["stretch", "crop", "pad"])
    def test_with_a_size_they_are_read(self, tmp_path: Path, suffix: str, mode: str) -> None:
        self.write(tmp_path / f"0.{suffix}")
        image = load(str(tmp_path), resize=Resize(height=24, width=36, mode=mode)).images[0, :, :, 0]  # type: ignore[arg-type]
        corners = [image[2, 2], image[2, -3], image[-3, 2], image[-3, -3]]
        np.testing.assert_allclose(np.array(corners, int), [230, 160, 90, 20], atol=2)

    def test_a_large_jpeg_is_never_decoded_in_full(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.write(tmp_path / "0.jpg")
        sizes = []
        original = Image.Image.convert

        def convert(image: Image.Image, mode: str) -> Image.Image:
            sizes.append(image.size)
            return original(image, mode)

        monkeypatch.setattr(Image.Image, "convert", convert)
        load(str(tmp_path), resize=Resize.parse("64"))
        assert sizes == [(750, 500)]

    def test_without_a_size_it_is_asked_for(self, tmp_path: Path) -> None:
        self.write(tmp_path / "0.jpg")
        with pytest.raises(DatasetError, match=r"give --size .*0\.jpg \(6000×4000 pixels, more than 16,777,216\)"):
            load(str(tmp_path))
        (found,) = inspect_source(str(tmp_path))
        assert [fault.is_size for fault in found.faults] == [True]

    def test_there_is_an_end_to_it(self, tmp_path: Path) -> None:
        Image.new("1", (8193, 8192)).save(tmp_path / "0.png")
        with pytest.raises(DatasetError, match=r"0\.png \(8193×8192 pixels, more than 67,108,864\)"):
            load(str(tmp_path), resize=Resize.parse("8"))


def test_a_jpeg_below_the_limit_is_resized_from_all_of_its_pixels(tmp_path: Path) -> None:
    """So that data sets that were resized before keep their digests."""
    rows = np.random.default_rng(0).integers(0, 256, (512, 512), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(rows).save(file, "JPEG", quality=95)
    (tmp_path / "0.jpg").write_bytes(file.getvalue())
    with Image.open(file) as image:
        expected = np.asarray(image.resize((32, 32), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(load(str(tmp_path), resize=Resize.parse("32")).images[0, :, :, 0], expected)
