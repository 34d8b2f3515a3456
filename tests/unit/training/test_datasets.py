from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganserve.contract.errors import ConfigError, DatasetError
from ganserve.training.datasets import ImageDataset, load

WriteImage = Callable[..., None]


def pack(folder: Path, archive: Path, top: str = "") -> str:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, f"{top}{path.relative_to(folder)}")
    return str(archive)


@pytest.fixture
def folder(tmp_path: Path, write_image: WriteImage) -> Path:
    """Two classes with three images."""
    root = tmp_path / "animals"
    write_image(root / "dog" / "b.png", level=3)
    write_image(root / "dog" / "deep" / "a.bmp", level=2)
    write_image(root / "cat" / "c.PNG", level=1)
    (root / "notes.txt").write_text("not an image")
    (root / "cat" / ".hidden.png").write_bytes(b"not an image")
    return root


def test_digits() -> None:
    dataset = load("digits")
    assert dataset.images.shape == (1797, 8, 8, 1)
    assert dataset.images.dtype == np.uint8
    assert (dataset.images.min(), dataset.images.max()) == (0, 255)
    assert dataset.class_names == tuple("0123456789")
    assert dataset.labels is not None
    assert dataset.labels[:10].tolist() == list(range(10))


def test_class_folders(folder: Path) -> None:
    dataset = load(str(folder))
    assert dataset.class_names == ("cat", "dog")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [0, 1, 1]
    assert dataset.images.shape == (3, 5, 6, 1)
    assert dataset.images[:, 0, 0, 0].tolist() == [1, 3, 2]
    assert dataset.name == "animals"


@pytest.mark.parametrize("top", ["", "animals/"])
def test_zip_is_the_same_data_as_its_folder(folder: Path, tmp_path: Path, top: str) -> None:
    dataset = load(pack(folder, tmp_path / "packed.zip", top))
    assert dataset.class_names == ("cat", "dog")
    assert dataset.digest == load(str(folder)).digest
    assert dataset.name == "packed"
    assert not (tmp_path / "packed").exists()


def test_colour_anywhere_makes_all_rgb(folder: Path, write_image: WriteImage) -> None:
    write_image(folder / "dog" / "z.png", mode="RGBA", level=7)
    dataset = load(str(folder))
    assert dataset.images.shape == (4, 5, 6, 3)
    assert dataset.images[0, 0, 0].tolist() == [1, 1, 1]


def test_progress_is_told(folder: Path) -> None:
    told: list[tuple[int, int]] = []
    load(str(folder), lambda num_done, total: told.append((num_done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_digest_is_the_documented_hash(make_dataset: Callable[..., ImageDataset]) -> None:
    dataset = make_dataset(num_images=4)
    assert dataset.labels is not None
    data = b"".join(side.to_bytes(8, "little") for side in (4, 8, 8, 1)) + dataset.images.tobytes()
    data += b"".join(int(label).to_bytes(8, "little") for label in dataset.labels)
    assert dataset.digest == hashlib.sha256(data).hexdigest()


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no images in it; put them \(.*\.png.*\) into one folder for each class"):
        load(str(tmp_path))


def test_images_without_class_folder(folder: Path, write_image: WriteImage) -> None:
    write_image(folder / "stray.png")
    with pytest.raises(DatasetError, match=r"stray\.png is in no class folder"):
        load(str(folder))


def test_mixed_sizes_list_ten_files_and_count_the_rest(tmp_path: Path, write_image: WriteImage) -> None:
    for index in range(13):
        write_image(tmp_path / "a" / f"good{index:02}.png")
    for index in range(12):
        write_image(tmp_path / "b" / f"bad{index:02}.png", size=(7, 5))
    with pytest.raises(DatasetError) as error:
        load(str(tmp_path))
    text = str(error.value)
    assert "resize or remove those that are not 6×5" in text
    assert "bad09.png (7×5) and 2 more" in text
    assert "bad10" not in text
    assert "good" not in text


def test_unreadable_images_are_listed(folder: Path) -> None:
    (folder / "cat" / "fake.png").write_bytes(b"not an image")
    with pytest.raises(DatasetError, match=r"fake\.png \(not an image\)"):
        load(str(folder))


def test_truncated_image_is_listed(folder: Path) -> None:
    path = folder / "cat" / "cut.png"
    noise = np.random.default_rng(0).integers(0, 256, (5, 6), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DatasetError, match=r"cannot be decoded.*cut\.png"):
        load(str(folder))


def test_sixteen_bit_image_is_refused(folder: Path) -> None:
    Image.fromarray(np.zeros((5, 6), dtype=np.uint16)).save(folder / "cat" / "deep.png")
    with pytest.raises(DatasetError, match=r"deep\.png \(pixels of mode I;16; save it with 8 bits"):
        load(str(folder))


@pytest.mark.parametrize("size", [(5000, 5000), (20_000, 20_000)])
def test_decompression_bomb_is_refused(folder: Path, size: tuple[int, int]) -> None:
    Image.new("1", size).save(folder / "cat" / "bomb.png")
    with pytest.raises(DatasetError, match=r"bomb\.png \(.*pixels"):
        load(str(folder))


def test_broken_zip(folder: Path, tmp_path: Path) -> None:
    archive = Path(pack(folder, tmp_path / "packed.zip"))
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(DatasetError, match=r"packed\.zip: not a zip file, or a broken one"):
        load(str(archive))


def test_zip_with_a_flipped_byte(folder: Path, tmp_path: Path) -> None:
    archive = Path(pack(folder, tmp_path / "packed.zip"))
    data = bytearray(archive.read_bytes())
    data[data.index(b"c.PNG") + len("c.PNG") + 5] ^= 0xFF
    archive.write_bytes(data)
    with pytest.raises(DatasetError, match=r"c\.PNG"):
        load(str(archive))


def test_file_that_is_no_source(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    with pytest.raises(DatasetError, match="give its folder, or a zip"):
        load(str(path))


def test_source_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--data .*nowhere: there is no such file or folder"):
        load(str(tmp_path / "nowhere"))


def test_linked_class_folders_count_and_loops_end(folder: Path, tmp_path: Path, write_image: WriteImage) -> None:
    write_image(tmp_path / "elsewhere" / "x.png", level=9)
    (folder / "emu").symlink_to(tmp_path / "elsewhere")
    (folder / "cat" / "loop").symlink_to(folder)
    dataset = load(str(folder))
    assert dataset.class_names == ("cat", "dog", "emu")
    assert len(dataset.images) == 4


def test_a_zip_keeps_the_order_of_its_folder(tmp_path: Path, write_image: WriteImage) -> None:
    for level, name in enumerate(("a", "a b", "a-b", "a.b")):
        write_image(tmp_path / "pets" / name / "0.png", level=level)
    assert load(pack(tmp_path / "pets", tmp_path / "pets.zip")).digest == load(str(tmp_path / "pets")).digest


@pytest.mark.parametrize("entry", ["/abs/0.png", "../up/0.png"])
def test_a_zip_that_leads_out_of_itself(folder: Path, tmp_path: Path, entry: str) -> None:
    archive = pack(folder, tmp_path / "packed.zip")
    with zipfile.ZipFile(archive, "a") as file:
        file.write(folder / "cat" / "c.PNG", entry.lstrip("/"))
        file.infolist()[-1].filename = entry
    with pytest.raises(DatasetError, match="leads out of it"):
        load(archive)


def test_a_folder_inside_a_zip_may_look_like_an_image(folder: Path, tmp_path: Path) -> None:
    archive = pack(folder, tmp_path / "packed.zip")
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("cat/x.png/", b"")
    assert len(load(archive).images) == 3


def test_a_class_name_that_is_no_text(folder: Path) -> None:
    (folder / "cat").rename(os.fsdecode(os.fsencode(folder) + b"/caf\xe9"))
    with pytest.raises(DatasetError, match="is not UTF-8; rename it"):
        load(str(folder))


def test_transparent_pixels_show_as_black(tmp_path: Path) -> None:
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    image = Image.new("RGBA", (2, 1), (200, 100, 50, 0))
    image.putpixel((1, 0), (200, 100, 50, 255))
    image.save(tmp_path / "pets" / "cat" / "0.png")
    palette = Image.new("P", (2, 1))
    palette.putpalette([200, 100, 50, 10, 20, 30])
    palette.save(tmp_path / "pets" / "cat" / "1.png", transparency=bytes((0, 255)))
    images = load(str(tmp_path / "pets")).images
    assert images[0, 0].tolist() == [[0, 0, 0], [200, 100, 50]]
    assert images[1, 0].tolist() == [[0, 0, 0], [0, 0, 0]]
