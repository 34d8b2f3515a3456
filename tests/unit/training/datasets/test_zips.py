from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ganserve.contract.errors import DatasetError
from ganserve.training.datasets import load, load_test

WriteImage = Callable[..., None]
ZipFolder = Callable[..., str]


@pytest.fixture
def splits(tmp_path: Path, write_image: WriteImage) -> Path:
    root = tmp_path / "pets"
    for level, path in enumerate(("train/cat/0", "train/dog/0", "test/cat/0", "test/dog/0")):
        write_image(root / f"{path}.png", level=level)
    return root


@pytest.mark.parametrize("top", ["", "animals/"])
def test_zip_is_the_same_data_as_its_folder(folder: Path, tmp_path: Path, zip_folder: ZipFolder, top: str) -> None:
    dataset = load(zip_folder(folder, tmp_path / "packed.zip", top))
    assert dataset.class_names == ("cat", "dog")
    assert dataset.digest == load(str(folder)).digest
    assert dataset.name == "packed"
    assert not (tmp_path / "packed").exists()


@pytest.mark.parametrize("top", ["", "flat/"])
def test_a_flat_zip_has_no_classes(tmp_path: Path, write_image: WriteImage, zip_folder: ZipFolder, top: str) -> None:
    write_image(tmp_path / "flat" / "0.png", level=3)
    assert load(zip_folder(tmp_path / "flat", tmp_path / "flat.zip", top)).labels is None


@pytest.mark.parametrize("top", ["", "pets/"])
def test_a_zip_has_splits_too(splits: Path, tmp_path: Path, zip_folder: ZipFolder, top: str) -> None:
    source = zip_folder(splits, tmp_path / "pets.zip", top)
    test = load_test(source)
    assert test is not None
    assert test.images[:, 0, 0, 0].tolist() == [2, 3]
    assert load(source).images[:, 0, 0, 0].tolist() == [0, 1]


def test_two_zips_in_a_folder_are_its_splits(splits: Path, tmp_path: Path, zip_folder: ZipFolder) -> None:
    pair = tmp_path / "pair"
    pair.mkdir()
    shutil.rmtree(splits / "test" / "cat")
    zip_folder(splits / "train", pair / "train.zip")
    assert load_test(str(pair)) is None
    (splits / "test" / "dog" / "0.png").rename(splits / "test" / "dog.png")
    labels = {"labels": [["dog.png", 0]], "class_names": ["dog"], "split": "test"}
    (splits / "test" / "dataset.json").write_text(json.dumps(labels))
    zip_folder(splits / "test", pair / "test.zip")
    train, test = load(str(pair)), load_test(str(pair))
    assert train.name == "pair"
    assert test is not None
    assert test.class_names == train.class_names == ("cat", "dog")
    assert test.labels is not None
    assert test.labels.tolist() == [1]


def test_two_zips_of_other_classes(splits: Path, tmp_path: Path, zip_folder: ZipFolder) -> None:
    (splits / "test" / "dog").rename(splits / "test" / "emu")
    zip_folder(splits / "train", tmp_path / "train.zip")
    zip_folder(splits / "test", tmp_path / "test.zip")
    with pytest.raises(DatasetError, match="test images of emu, and no training images of it"):
        load_test(str(tmp_path))


def test_broken_zip(folder: Path, tmp_path: Path, zip_folder: ZipFolder) -> None:
    archive = Path(zip_folder(folder, tmp_path / "packed.zip"))
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(DatasetError, match=r"packed\.zip: a torn zip file"):
        load(str(archive))


def test_zip_with_a_flipped_byte(folder: Path, tmp_path: Path, zip_folder: ZipFolder) -> None:
    archive = Path(zip_folder(folder, tmp_path / "packed.zip"))
    data = bytearray(archive.read_bytes())
    data[data.index(b"c.PNG") + len("c.PNG") + 5] ^= 0xFF
    archive.write_bytes(data)
    with pytest.raises(DatasetError, match=r"c\.PNG"):
        load(str(archive))


def test_a_zip_keeps_the_order_of_its_folder(tmp_path: Path, write_image: WriteImage, zip_folder: ZipFolder) -> None:
    for level, name in enumerate(("a", "a b", "a-b", "a.b")):
        write_image(tmp_path / "pets" / name / "0.png", level=level)
    assert load(zip_folder(tmp_path / "pets", tmp_path / "pets.zip")).digest == load(str(tmp_path / "pets")).digest


@pytest.mark.parametrize("entry", ["/abs/0.png", "../up/0.png"])
def test_a_zip_that_leads_out_of_itself(folder: Path, tmp_path: Path, zip_folder: ZipFolder, entry: str) -> None:
    archive = zip_folder(folder, tmp_path / "packed.zip")
    with zipfile.ZipFile(archive, "a") as file:
        file.write(folder / "cat" / "c.PNG", entry.lstrip("/"))
        file.infolist()[-1].filename = entry
    with pytest.raises(DatasetError, match="leads out of it"):
        load(archive)


def test_a_folder_inside_a_zip_may_look_like_an_image(folder: Path, tmp_path: Path, zip_folder: ZipFolder) -> None:
    archive = zip_folder(folder, tmp_path / "packed.zip")
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("cat/x.png/", b"")
    assert len(load(archive).images) == 3
