"""StyleGAN's zips: written by hand and read, packed and read back, and read as StyleGAN reads them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganserve.contract.errors import ArtifactError, ConfigError, DatasetError
from ganserve.training.datasets import ImageDataset, Resize, load, load_test
from ganserve.training.datasets.packing import pack_dataset


def png(level: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (4, 4), level).save(file, "PNG")
    return file.getvalue()


def write(path: Path, index: Any, num_images: int = 3, top: str = "") -> str:
    """A zip as dataset_tool.py writes it, its images of levels 0, 1, 2, …"""
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(num_images):
            archive.writestr(f"{top}00000/img{number:08d}.png", png(number))
        archive.writestr(f"{top}dataset.json", index if isinstance(index, str) else json.dumps(index))
    return str(path)


def labels(*values: object) -> list[list[object]]:
    return [[f"00000/img{number:08d}.png", value] for number, value in enumerate(values)]


@pytest.mark.parametrize("top", ["", "ffhq/"])
def test_a_zip_of_stylegan(tmp_path: Path, top: str) -> None:
    dataset = load(write(tmp_path / "a.zip", {"labels": labels(6, 2, 6)}, top=top))
    assert dataset.class_names == ("2", "6")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [1, 0, 1]
    assert dataset.images[:, 0, 0, 0].tolist() == [0, 1, 2]


def test_null_is_no_labels_whatever_the_folders(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(2):
            archive.writestr(f"0000{number}/img.png", png(number))
        archive.writestr("dataset.json", '{"labels": null}')
    assert load(str(tmp_path / "a.zip")).labels is None


def test_names_and_keys_of_others(tmp_path: Path) -> None:
    index = {"labels": labels(2, 0, 0), "class_names": ["cat", "dog", "emu"], "digest": "md5:0", "licence": "CC0"}
    dataset = load(write(tmp_path / "a.zip", index))
    assert dataset.class_names == ("cat", "dog", "emu")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [2, 0, 0]


def test_dataset_json_of_another_kind_is_passed_over(tmp_path: Path) -> None:
    assert load(write(tmp_path / "a.zip", {"version": 3})).labels is None


@pytest.mark.parametrize(
    ("index", "fault"),
    [
        ("{", "dataset.json is not JSON"),
        ("[" * 100_000, "dataset.json is not JSON"),
        ({"labels": "none"}, "not pairs of a path and a class number"),
        ({"labels": labels(0, 1, [0.5, 0.5])}, r"not pairs .*img00000002\.png"),
        ({"labels": labels(0, 1, True)}, "not pairs"),
        ({"labels": labels(0, 1, -1)}, "not pairs"),
        ({"labels": labels(0, 1)}, r"1 images have no label in its dataset\.json, such as 00000/img00000002\.png"),
        ({"labels": labels(0, 1, 0, 1)}, r"1 images are missing but in its dataset\.json.*img00000003\.png"),
        ({"labels": labels(0, 1, 2), "class_names": ["a", "b"]}, "has class 2, but 2 class names"),
        ({"labels": labels(0, 1, 0), "class_names": ["a", "\ud800"]}, r"class name '\\ud800' is not UTF-8; rename it"),
    ],
)
def test_labels_that_cannot_be_read(tmp_path: Path, index: Any, fault: str) -> None:
    with pytest.raises(DatasetError, match=fault):
        load(write(tmp_path / "a.zip", index))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("labelled", [True, False])
def test_packed_and_read_back_it_is_the_same(
    tmp_path: Path, make_dataset: Callable[..., ImageDataset], channels: int, labelled: bool
) -> None:
    dataset = make_dataset(5, 7, channels, 12, labelled=labelled)
    pack_dataset(dataset, tmp_path / "a.zip", split="train")
    back = load(str(tmp_path / "a.zip"))
    assert back.digest == dataset.digest
    assert back.class_names == dataset.class_names
    np.testing.assert_array_equal(back.images, dataset.images)
    if dataset.labels is None:
        assert back.labels is None
    else:
        np.testing.assert_array_equal(back.labels, dataset.labels)


def test_a_pack_is_what_stylegan_expects(tmp_path: Path, make_dataset: Callable[..., ImageDataset]) -> None:
    dataset = make_dataset(num_images=1001, height=2, width=2)
    pack_dataset(dataset, tmp_path / "a.zip", split="train")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
        index = json.loads(archive.read("dataset.json"))
        with archive.open("00001/img00001000.png") as file, Image.open(file) as image:
            assert image.mode == "L"
            np.testing.assert_array_equal(np.asarray(image), dataset.images[1000, :, :, 0])
    assert index["labels"][999:] == [["00000/img00000999.png", 0], ["00001/img00001000.png", 1]]
    assert index["class_names"] == ["a", "b", "c"]
    assert index["split"] == "train"
    assert index["digest"] == dataset.digest


def test_the_same_data_give_the_same_bytes(tmp_path: Path, make_dataset: Callable[..., ImageDataset]) -> None:
    for name in ("a.zip", "b.zip"):
        pack_dataset(make_dataset(), tmp_path / name, split="train")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_packed_test_split_is_no_training_data(tmp_path: Path, make_dataset: Callable[..., ImageDataset]) -> None:
    dataset = make_dataset()
    pack_dataset(dataset, tmp_path / "a.zip", split="test")
    test = load_test(str(tmp_path / "a.zip"))
    assert test is not None
    assert test.digest == dataset.digest
    with pytest.raises(DatasetError, match="has no train images of its own"):
        load(str(tmp_path / "a.zip"))


def test_a_pack_that_was_altered_is_refused(tmp_path: Path, make_dataset: Callable[..., ImageDataset]) -> None:
    pack_dataset(make_dataset(), tmp_path / "a.zip", split="train")
    with zipfile.ZipFile(tmp_path / "a.zip") as old, zipfile.ZipFile(tmp_path / "b.zip", "w") as new:
        for entry in old.infolist():
            first = entry.filename.endswith("img00000000.png")
            new.writestr(entry, old.read("00000/img00000001.png" if first else entry.filename))
    with pytest.raises(DatasetError, match=r"not those that were packed \(digest .*\); pack it again"):
        load(str(tmp_path / "b.zip"))
    assert load(str(tmp_path / "b.zip"), resize=Resize.parse("4")).images.shape == (10, 4, 4, 1)


def test_nothing_is_overwritten_and_nothing_half_written(
    tmp_path: Path, make_dataset: Callable[..., ImageDataset]
) -> None:
    (tmp_path / "a.zip").write_text("mine")
    with pytest.raises(ConfigError, match=r"a\.zip: is there already"):
        pack_dataset(make_dataset(), tmp_path / "a.zip", split="train")
    with pytest.raises(ConfigError, match=r"a\.png: name it \.zip"):
        pack_dataset(make_dataset(), tmp_path / "a.png", split="train")
    with pytest.raises(ArtifactError, match="cannot be written"):
        pack_dataset(make_dataset(), tmp_path / "a.zip" / "b.zip", split="train")

    def stop(num_done: int, _: int) -> None:
        if num_done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack_dataset(make_dataset(), tmp_path / "c.zip", split="train", on_progress=stop)
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == ["a.zip"]


def test_a_cache_that_lost_a_bit_is_not_packed(tmp_path: Path, cache: Path) -> None:
    source = write(tmp_path / "a.zip", {"labels": None})
    load(source)
    (pixels,) = cache.glob("datasets/*/images.u8")
    data = bytearray(pixels.read_bytes())
    data[0] ^= 1
    pixels.write_bytes(data)
    with pytest.raises(DatasetError, match=r"a: its images in the cache are not those .*remove .*datasets and pack"):
        pack_dataset(load(source), tmp_path / "b.zip", split="train")
    assert not (tmp_path / "b.zip").exists()
