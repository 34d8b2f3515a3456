from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganserve.contract.errors import ConfigError, DatasetError
from ganserve.training.datasets import ImageDataset, absolute, load, load_test

WriteImage = Callable[..., None]


def test_digits() -> None:
    dataset = load("digits")
    assert dataset.images.shape == (1797, 8, 8, 1)
    assert dataset.images.dtype == np.uint8
    assert (dataset.images.min(), dataset.images.max()) == (0, 255)
    assert dataset.class_names == tuple("0123456789")
    assert dataset.labels is not None
    assert dataset.labels[:10].tolist() == list(range(10))
    assert load_test("digits") is None


def test_class_folders(folder: Path) -> None:
    dataset = load(str(folder))
    assert dataset.class_names == ("cat", "dog")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [0, 1, 1]
    assert dataset.images.shape == (3, 5, 6, 1)
    assert dataset.images[:, 0, 0, 0].tolist() == [1, 3, 2]
    assert dataset.name == "animals"
    assert load_test(str(folder)) is None


def test_a_flat_folder_has_no_classes(tmp_path: Path, write_image: WriteImage) -> None:
    for level in range(3):
        write_image(tmp_path / "flat" / f"{level}.png", level=level)
    dataset = load(str(tmp_path / "flat"))
    assert dataset.labels is None
    assert dataset.class_names == ()
    assert dataset.images[:, 0, 0, 0].tolist() == [0, 1, 2]


def test_one_class_is_none(tmp_path: Path, write_image: WriteImage) -> None:
    write_image(tmp_path / "pets" / "cat" / "0.png")
    assert load(str(tmp_path / "pets")).labels is None


def test_train_and_test_folders_are_splits(tmp_path: Path, write_image: WriteImage) -> None:
    root = tmp_path / "pets"
    for level, path in enumerate(("train/cat/0", "train/dog/0", "train/emu/0", "test/dog/0", "test/emu/0")):
        write_image(root / f"{path}.png", level=level)
    train, test = load(str(root)), load_test(str(root))
    assert test is not None
    assert train.labels is not None
    assert test.labels is not None
    assert train.class_names == test.class_names == ("cat", "dog", "emu")
    assert train.labels.tolist() == [0, 1, 2]
    assert test.labels.tolist() == [1, 2]
    assert test.images[:, 0, 0, 0].tolist() == [3, 4]
    assert load(str(root), split="test").digest == test.digest


def test_a_split_that_is_not_there(folder: Path, tmp_path: Path, write_image: WriteImage) -> None:
    with pytest.raises(DatasetError, match="has no test images of its own"):
        load(str(folder), split="test")
    write_image(tmp_path / "only" / "test" / "0.png")
    with pytest.raises(DatasetError, match="has no train images of its own"):
        load(str(tmp_path / "only"))


@pytest.mark.parametrize(("path", "name"), [("test/emu/0.png", "emu"), ("test/0.png", "no class")])
def test_test_images_of_another_class(tmp_path: Path, write_image: WriteImage, path: str, name: str) -> None:
    for one in ("train/cat/0.png", "train/dog/0.png", path):
        write_image(tmp_path / "pets" / one)
    with pytest.raises(DatasetError, match=f"test images of {name}, and no training images of it"):
        load_test(str(tmp_path / "pets"))


def test_a_folder_with_dataset_json(folder: Path) -> None:
    labels = [["cat/c.PNG", 5], ["dog/b.png", 2], ["dog/deep/a.bmp", 2]]
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    dataset = load(str(folder))
    assert dataset.class_names == ("2", "5")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [1, 0, 0]


def test_colour_anywhere_makes_all_rgb(folder: Path, write_image: WriteImage) -> None:
    write_image(folder / "dog" / "z.png", mode="RGBA", level=7)
    dataset = load(str(folder))
    assert dataset.images.shape == (4, 5, 6, 3)
    assert dataset.images[0, 0, 0].tolist() == [1, 1, 1]


def test_transparent_pixels_show_as_black(tmp_path: Path) -> None:
    (tmp_path / "pets").mkdir()
    image = Image.new("RGBA", (2, 1), (200, 100, 50, 0))
    image.putpixel((1, 0), (200, 100, 50, 255))
    image.save(tmp_path / "pets" / "0.png")
    palette = Image.new("P", (2, 1))
    palette.putpalette([200, 100, 50, 10, 20, 30])
    palette.save(tmp_path / "pets" / "1.png", transparency=bytes((0, 255)))
    images = load(str(tmp_path / "pets")).images
    assert images[0, 0].tolist() == [[0, 0, 0], [200, 100, 50]]
    assert images[1, 0].tolist() == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_photographs_stand_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    """EXIF tells how the scene's rows lie in the file; undoing it here is numpy's, apart from the reader's."""
    scene = np.kron(np.array([[0, 80], [160, 240], [40, 120]], dtype=np.uint8), np.ones((8, 8), dtype=np.uint8))
    stored = {
        1: scene,
        2: scene[:, ::-1],
        3: scene[::-1, ::-1],
        4: scene[::-1],
        5: scene.T,
        6: np.rot90(scene, 1),
        7: np.rot90(scene, 2).T,
        8: np.rot90(scene, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "photos").mkdir()
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "photos" / f"0.{suffix}", exif=exif)
    image = load(str(tmp_path / "photos")).images[0, :, :, 0]
    assert image.shape == (24, 16)
    np.testing.assert_allclose(image.astype(int), scene, atol=0 if suffix == "png" else 8)


def test_progress_is_told(folder: Path) -> None:
    told: list[tuple[int, int]] = []
    load(str(folder), on_progress=lambda num_done, total: told.append((num_done, total)))
    headers_then_pixels = [(num_done, 6) for num_done in range(1, 7)]
    assert told == headers_then_pixels


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


def test_file_that_is_no_source(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    with pytest.raises(
        DatasetError, match=r"a\.png: none of what can be read.*`digits`.*class folders.*hf://user/name"
    ):
        load(str(path))


def test_source_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere: there is no such file or folder; give `digits`"):
        load(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("source", ["s3://bucket/pets.zip", "ftp://example.org/pets.zip"])
def test_addresses_of_other_kinds(source: str) -> None:
    for read in (load, absolute):
        with pytest.raises(ConfigError, match=r"addresses of (s3|ftp):// are not read; give `digits`"):
            read(source)


@pytest.mark.parametrize("name", ["a.zip", "a.npz", "a"])
def test_a_torn_zip(tmp_path: Path, folder: Path, zip_folder: Callable[..., str], name: str) -> None:
    path = Path(zip_folder(folder, tmp_path / "whole.zip"))
    (tmp_path / name).write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DatasetError, match=r"a torn zip file, whose end is missing; make or fetch it again$"):
        load(str(tmp_path / name))


def test_what_is_only_named_like_a_zip(tmp_path: Path) -> None:
    for content, fault in ((b"", "empty"), (b"<html>", "no zip file")):
        (tmp_path / "a.zip").write_bytes(content)
        with pytest.raises(DatasetError, match=f"named like a zip file, but {fault}; make or fetch it again"):
            load(str(tmp_path / "a.zip"))


def test_absolute_leaves_what_is_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("photos") == str(tmp_path / "photos")
    for source in ("digits", "https://example.org/a.zip#sha256=00", "hf://user/name"):
        assert absolute(source) == source


def test_linked_class_folders_count_and_loops_end(folder: Path, tmp_path: Path, write_image: WriteImage) -> None:
    write_image(tmp_path / "elsewhere" / "x.png", level=9)
    (folder / "emu").symlink_to(tmp_path / "elsewhere")
    (folder / "cat" / "loop").symlink_to(folder)
    dataset = load(str(folder))
    assert dataset.class_names == ("cat", "dog", "emu")
    assert len(dataset.images) == 4


@pytest.mark.parametrize("names", [("a", "c"), ("c", "a")])
def test_one_folder_under_two_names_is_two_classes(tmp_path: Path, write_image: WriteImage, names: list[str]) -> None:
    real, link = names
    write_image(tmp_path / "pets" / real / "0.png")
    (tmp_path / "pets" / link).symlink_to(tmp_path / "pets" / real)
    assert load(str(tmp_path / "pets")).class_names == ("a", "c")


def test_a_folder_that_cannot_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refusing(path: Path) -> object:
        if Path(path).name == "dog":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(DatasetError, match=r"animals/dog: cannot be read \(Permission denied\)"):
        load(str(folder))


def test_an_empty_source_is_not_the_working_directory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for read in (load, load_test, absolute):
        with pytest.raises(ConfigError, match="the source is empty; give `digits`"):
            read("")


def test_a_class_name_that_is_no_text(folder: Path) -> None:
    (folder / "cat").rename(os.fsdecode(os.fsencode(folder) + b"/caf\xe9"))
    with pytest.raises(DatasetError, match="is not UTF-8; rename it"):
        load(str(folder))
