"""Every way in which an image file can be wrong: refused by name, or left out when that is asked for."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganserve.contract.errors import DatasetError
from ganserve.training.datasets import Resize, load

WriteImage = Callable[..., None]


def truncated(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 6), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-30])


def bomb(path: Path) -> None:
    """A PNG of one pixel whose header promises 20,000 × 20,000."""
    Image.new("1", (1, 1)).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 20_000, 20_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no image": (lambda path: path.write_bytes(b"not an image"), "not an image"),
    "empty": (lambda path: path.write_bytes(b""), "not an image"),
    "truncated": (truncated, "truncated|Truncated|broken"),
    "another format": (lambda path: Image.new("L", (6, 5)).save(path, "EPS"), "not an image"),
    "large": (lambda path: Image.new("1", (5000, 5000)).save(path), "5000×5000 pixels, more than 16,777,216"),
    "bomb": (bomb, "decompression bomb"),
    "size": (lambda path: Image.new("L", (7, 5)).save(path), "7×5, not 6×5"),
    "a pipe": (os.mkfifo, "not a regular file"),
    "a dangling link": (lambda path: path.symlink_to("nowhere"), "No such file"),
}


@pytest.fixture(params=FAULTS)
def fault(request: pytest.FixtureRequest, folder: Path) -> str:
    """Puts one bad image beside the three good ones; returns the reason to expect."""
    make, reason = FAULTS[request.param]
    make(folder / "cat" / "bad.png")
    return reason


def test_a_bad_image_is_refused_by_name(folder: Path, fault: str) -> None:
    with pytest.raises(DatasetError, match=rf"1 of 4 images cannot be used.*--skip-bad .*: cat/bad\.png \(.*({fault})"):
        load(str(folder))


def test_a_bad_image_is_left_out_when_asked(folder: Path, fault: str) -> None:
    good = load_without(folder, "bad.png")
    dataset = load(str(folder), skip_bad=True)
    assert dataset.digest == good
    assert len(dataset.skipped) == 1
    assert dataset.skipped[0].startswith("cat/bad.png (")
    assert load(str(folder), skip_bad=True).skipped == dataset.skipped
    with pytest.raises(DatasetError, match=fault):
        load(str(folder))


def load_without(folder: Path, name: str) -> str:
    """The digest of the same folder without one file."""
    bad = folder / "cat" / name
    away = bad.rename(folder.parent / name)
    digest = load(str(folder)).digest
    away.rename(bad)
    return digest


def test_the_same_in_a_zip(folder: Path, fault: str, tmp_path: Path, zip_folder: Callable[..., str]) -> None:
    if not (folder / "cat" / "bad.png").is_file():
        (folder / "cat" / "bad.png").unlink()
        (folder / "cat" / "bad.png").write_bytes(b"")
        fault = "not an image"
    source = zip_folder(folder, tmp_path / "animals.zip")
    with pytest.raises(DatasetError, match=fault):
        load(source)
    assert load(source, skip_bad=True).skipped[0].startswith("cat/bad.png (")


def test_mixed_sizes_list_ten_files_and_count_the_rest(tmp_path: Path, write_image: WriteImage) -> None:
    for index in range(13):
        write_image(tmp_path / "a" / f"good{index:02}.png")
    for index in range(12):
        write_image(tmp_path / "b" / f"bad{index:02}.png", size=(7, 5))
    with pytest.raises(DatasetError) as error:
        load(str(tmp_path))
    text = str(error.value)
    assert "12 of 25 images cannot be used" in text
    assert "give --size to fit other sizes" in text
    assert "bad09.png (7×5, not 6×5) and 2 more" in text
    assert "bad10" not in text
    assert "good" not in text
    assert load(str(tmp_path), resize=Resize.parse("4x3")).images.shape == (25, 4, 3, 1)


def test_more_bad_than_good_is_refused_all_the_same(tmp_path: Path, write_image: WriteImage) -> None:
    for width in range(5, 10):
        write_image(tmp_path / f"{width}.png", size=(width, 5))
    with pytest.raises(DatasetError, match=r"4 of 5 images cannot be used; more than half"):
        load(str(tmp_path), skip_bad=True)


def test_an_image_too_long_for_a_model(tmp_path: Path) -> None:
    Image.new("1", (20_000, 8)).save(tmp_path / "0.png")
    with pytest.raises(DatasetError, match=r"give --size.*0\.png \(20000×8, more than 16,384 pixels a side\)"):
        load(str(tmp_path))
    assert load(str(tmp_path), resize=Resize.parse("8")).images.shape == (1, 8, 8, 1)


def test_a_class_that_is_all_bad(folder: Path) -> None:
    (folder / "cat" / "c.PNG").write_bytes(b"no image")
    with pytest.raises(DatasetError, match="every image of class cat is bad"):
        load(str(folder), skip_bad=True)


def test_an_encrypted_zip_is_told_by_file(folder: Path, tmp_path: Path, zip_folder: Callable[..., str]) -> None:
    archive = Path(zip_folder(folder, tmp_path / "animals.zip"))
    data = bytearray(archive.read_bytes())
    directory_entry = data.index(b"PK\1\2", data.index(b"PK\1\2", data.index(b"PK\1\2") + 4))
    for place in range(directory_entry, len(data) - 4):
        if data[place : place + 4] == b"PK\1\2":
            data[place + 8] |= 1
    archive.write_bytes(data)
    with pytest.raises(DatasetError, match="encrypted"):
        load(str(archive))
