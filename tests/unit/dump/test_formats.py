"""Each form of a dump is read by the library that it is for, and by training, and holds the samples."""

from __future__ import annotations

import csv
import gc
import json
import zipfile
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet
import pytest
import webdataset
from numpy.typing import NDArray
from PIL import Image

from ganserve.client import Address, LocalGenerator, Samples, address_of
from ganserve.dump import make_plan, write_dump
from ganserve.training.datasets import load
from ganserve.training.datasets.inspection import inspect_source

NUM = 23
CLASS_NAMES = ("cat", "dog", "emu")


@pytest.fixture
def expected(source: LocalGenerator) -> Samples:
    return source.generate(NUM, seed=5, first_index=100, truncation=1.5, spread=1.25)


def dump(source: LocalGenerator, folder: Path, format: str, **options: Any) -> Path:  # noqa: A002
    plan = make_plan(source, NUM, format=format, seed=5, first_index=100, truncation=1.5, spread=1.25, **options)
    write_dump(plan, source, folder)
    return folder


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize("images", ["png", "webp"])
@pytest.mark.parametrize("num_shards", [1, 4])
def test_a_folder(source: LocalGenerator, expected: Samples, tmp_path: Path, images: str, num_shards: int) -> None:
    folder = dump(source, tmp_path / "more", "folder", image_format=images, num_shards=num_shards)
    with (folder / "labels.csv").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    assert expected.class_names is not None
    names = expected.class_names.tolist()
    assert [row["file"] for row in rows] == [f"{name}/5-{100 + i:06d}.{images}" for i, name in enumerate(names)]
    assert [row["class"] for row in rows] == names
    np.testing.assert_array_equal([pixels(folder / row["file"]) for row in rows], expected.numpy())
    dataset = load(str(folder))
    assert dataset.class_names == CLASS_NAMES
    assert sorted(image.tobytes() for image in dataset.images) == sorted(image.tobytes() for image in expected)
    assert {name: len(list((folder / name).iterdir())) for name in CLASS_NAMES} == {
        name: names.count(name) for name in CLASS_NAMES
    }


def test_a_folder_of_an_unconditional_generator(plain_source: LocalGenerator, tmp_path: Path) -> None:
    folder = dump(plain_source, tmp_path / "more", "folder", num_shards=3)
    assert len(list(folder.glob("5-*.png"))) == NUM
    dataset = load(str(folder))
    assert dataset.class_names == ()
    assert dataset.images.shape == (NUM, 6, 5, 1)


def test_a_zip_is_what_training_reads(source: LocalGenerator, expected: Samples, tmp_path: Path) -> None:
    folder = dump(source, tmp_path / "more", "zip")
    (path,) = folder.glob("*.zip")
    assert path.name == "samples-00000-of-00001.zip"
    with zipfile.ZipFile(path) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    dataset = load(str(path))
    assert dataset.class_names == CLASS_NAMES
    assert sorted(image.tobytes() for image in dataset.images) == sorted(image.tobytes() for image in expected)
    (found,) = inspect_source(str(path))
    assert expected.class_names is not None
    assert found.class_counts == {name: expected.class_names.tolist().count(name) for name in CLASS_NAMES}


def test_npz_is_what_training_and_numpy_read(source: LocalGenerator, expected: Samples, tmp_path: Path) -> None:
    folder = dump(source, tmp_path / "more", "npz")
    (path,) = folder.glob("*.npz")
    with np.load(path) as arrays:
        np.testing.assert_array_equal(arrays["images"], expected.numpy())
        np.testing.assert_array_equal(arrays["labels"], expected.labels)
        np.testing.assert_array_equal(arrays["indices"], expected.indices)
        assert arrays["class_names"].tolist() == list(CLASS_NAMES)
        assert (arrays["seed"], arrays["digest"]) == (5, expected.model.digest)
        assert (arrays["truncation"], arrays["spread"]) == (1.5, 1.25)
    dataset = load(str(path))
    assert dataset.class_names == CLASS_NAMES
    np.testing.assert_array_equal(dataset.images, expected.numpy())


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # WebDataset leaves them to the collector
@pytest.mark.parametrize("images", ["png", "webp"])
def test_webdataset_reads_the_tars(source: LocalGenerator, expected: Samples, tmp_path: Path, images: str) -> None:
    folder = dump(source, tmp_path / "more", "webdataset", image_format=images, num_shards=3)
    read = webdataset.WebDataset(str(folder / "samples-{00000..00002}-of-00003.tar"), shardshuffle=False)
    samples = list(read.decode("rgb8").to_tuple("__key__", images, "cls", "json"))
    gc.collect()
    assert [key for key, *_ in samples] == [f"5-{100 + i:06d}" for i in range(NUM)]
    np.testing.assert_array_equal([image for _, image, *_ in samples], expected.numpy())
    assert expected.labels is not None
    assert [label for *_, label, _ in samples] == expected.labels.tolist()
    facts = samples[4][3]
    assert facts.pop("class") == CLASS_NAMES[facts["label"]]
    assert Address(**facts).generate(source).numpy().tobytes() == expected[4].tobytes()


def test_hugging_face_reads_parquet_with_images_and_classes(
    source: LocalGenerator, expected: Samples, tmp_path: Path
) -> None:
    folder = dump(source, tmp_path / "more", "parquet", num_shards=2)
    read = datasets.load_dataset("parquet", data_files=str(folder / "*.parquet"), cache_dir=str(tmp_path / "cache"))
    rows = read["train"]
    assert rows.features["label"] == datasets.ClassLabel(names=list(CLASS_NAMES))
    assert isinstance(rows.features["image"], datasets.Image)
    np.testing.assert_array_equal([np.asarray(image) for image in rows["image"]], expected.numpy())
    assert expected.labels is not None
    assert list(rows["label"]) == expected.labels.tolist()
    row = rows.remove_columns("image")[7]
    assert row == {
        "label": expected.labels[7],
        "index": 107,
        "seed": 5,
        "truncation": 1.5,
        "spread": 1.25,
        "model": "tiny:1",
        "digest": expected.model.digest,
    }
    dataset = load(str(folder))
    assert dataset.class_names == CLASS_NAMES
    np.testing.assert_array_equal(dataset.images, expected.numpy())


def test_raw_parquet_holds_the_pixels(source: LocalGenerator, expected: Samples, tmp_path: Path) -> None:
    folder = dump(source, tmp_path / "more", "parquet", image_format="raw")
    (path,) = folder.glob("*.parquet")
    table = pyarrow.parquet.read_table(path)
    shape = json.loads(table.schema.metadata[b"ganserve"])["shape"]
    read = np.stack([np.frombuffer(value.as_py(), np.uint8).reshape(shape) for value in table["pixels"]])
    np.testing.assert_array_equal(read, expected.numpy())
    rows = datasets.load_dataset("parquet", data_files=str(path), cache_dir=str(tmp_path / "cache"))["train"]
    assert rows[3]["pixels"] == expected[3].tobytes()


def test_parquet_of_an_unconditional_generator(plain_source: LocalGenerator, tmp_path: Path) -> None:
    folder = dump(plain_source, tmp_path / "more", "parquet")
    dataset = load(str(folder))
    assert dataset.class_names == ()
    assert dataset.images.shape == (NUM, 6, 5, 1)


def test_row_groups_do_not_depend_on_how_samples_come(source: LocalGenerator, tmp_path: Path) -> None:
    folder = tmp_path / "more"
    write_dump(make_plan(source, 2500, format="parquet"), source, folder)
    file = pyarrow.parquet.ParquetFile(next(folder.glob("*.parquet")))
    assert [file.metadata.row_group(place).num_rows for place in range(file.metadata.num_row_groups)] == [
        1000,
        1000,
        500,
    ]


@pytest.mark.parametrize("images", ["png", "webp"])
def test_every_image_carries_its_address(source: LocalGenerator, tmp_path: Path, images: str) -> None:
    folder = dump(source, tmp_path / "more", "folder", image_format=images)
    for path in folder.rglob(f"*.{images}"):
        address = address_of(path)
        assert (address.model, address.seed, address.truncation, address.spread) == ("tiny:1", 5, 1.5, 1.25)
        assert CLASS_NAMES[address.label or 0] == path.parent.name
        np.testing.assert_array_equal(address.generate(source).numpy()[0], pixels(path))


def test_dumps_say_that_they_are_synthetic(source: LocalGenerator, tmp_path: Path) -> None:
    folder = dump(source, tmp_path / "more", "zip")
    told = json.loads((folder / "dump.json").read_text(encoding="utf-8"))
    assert told["plan"]["digital_source_type"].endswith("/trainedAlgorithmicMedia")
    assert told["plan"]["licences"] == {"data": "unknown", "weights": "unknown"}
    assert told["plan"]["versions"]["ganserve"]
