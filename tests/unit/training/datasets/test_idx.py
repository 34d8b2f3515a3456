from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ganserve.contract.errors import DatasetError
from ganserve.training.datasets import load, load_test

IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
LABELS = np.array([1, 0, 2], dtype=np.uint8)


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write(folder: Path, images: bytes = idx_bytes(IMAGES), labels: bytes | None = idx_bytes(LABELS)) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "train-images-idx3-ubyte").write_bytes(images)
    if labels is not None:
        (folder / "train-labels-idx1-ubyte").write_bytes(labels)
    return str(folder)


def test_plain_files(tmp_path: Path) -> None:
    dataset = load(write(tmp_path / "mnist"))
    np.testing.assert_array_equal(dataset.images, IMAGES[..., np.newaxis])
    assert dataset.images.flags.c_contiguous
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [1, 0, 2]
    assert dataset.labels.dtype == np.int64
    assert dataset.class_names == ("0", "1", "2")
    assert dataset.name == "mnist"


def test_gzipped_files_give_the_same_digest(tmp_path: Path) -> None:
    for name, array in (("train-images-idx3-ubyte.gz", IMAGES), ("train-labels-idx1-ubyte.gz", LABELS)):
        (tmp_path / name).write_bytes(gzip.compress(idx_bytes(array)))
    assert load(str(tmp_path)).digest == load(write(tmp_path / "plain")).digest


def test_labels_may_be_missing(tmp_path: Path) -> None:
    dataset = load(write(tmp_path, labels=None))
    assert dataset.labels is None
    assert dataset.class_names == ()


@pytest.mark.parametrize(
    ("images", "fault"),
    [
        (b"", "begins with nothing"),
        (b"\x00\x00\x08", "begins with 00 00 08"),
        (b"\x89PNG" + bytes(100), "begins with 89 50 4e 47"),
        (idx_bytes(LABELS), "with 3 dimensions"),
        (idx_bytes(IMAGES)[:10], "truncated inside its header"),
        (idx_bytes(IMAGES)[:-1], "truncated, 59 of the 60 bytes"),
        (idx_bytes(IMAGES) + b"\x00", "goes on after the 60 bytes"),
        (bytes((0, 0, 8, 3)) + struct.pack(">3I", 1, 2**31, 2**31), "promises images of"),
        (bytes((0, 0, 8, 3)) + struct.pack(">3I", 0, 4, 5), "no images"),
    ],
)
def test_bad_images_file(tmp_path: Path, images: bytes, fault: str) -> None:
    with pytest.raises(DatasetError, match=fault):
        load(write(tmp_path, images=images, labels=None))


def test_counts_that_differ(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds 2 labels but train-images-idx3-ubyte holds 3 images"):
        load(write(tmp_path, labels=idx_bytes(LABELS[:2])))


@pytest.mark.parametrize(
    "spoil", [lambda data: data[:-12], lambda data: b"no gzip" + data, lambda data: data[:-4] + bytes(4)]
)
def test_bad_gzip(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(spoil(gzip.compress(idx_bytes(IMAGES))))
    with pytest.raises(DatasetError, match=r"train-images-idx3-ubyte\.gz: cannot be read"):
        load(str(tmp_path))


def test_a_class_is_a_label_that_occurs(tmp_path: Path) -> None:
    dataset = load(write(tmp_path, labels=idx_bytes(np.array([3, 200, 3], dtype=np.uint8))))
    assert dataset.class_names == ("3", "200")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [0, 1, 0]


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_promise_of_terabytes_costs_no_memory(tmp_path: Path, suffix: str) -> None:
    lie = bytes((0, 0, 8, 3)) + struct.pack(">3I", 2**32 - 1, 28, 28) + bytes(1000)
    (tmp_path / f"train-images-idx3-ubyte{suffix}").write_bytes(gzip.compress(lie) if suffix else lie)
    with pytest.raises(DatasetError, match="truncated, 1,000 of the 3,367,254,359,280 bytes"):
        load(str(tmp_path))


def test_the_other_spelling_of_the_names(tmp_path: Path) -> None:
    (tmp_path / "train-images.idx3-ubyte").write_bytes(idx_bytes(IMAGES))
    (tmp_path / "train-labels.idx1-ubyte").write_bytes(idx_bytes(LABELS))
    assert load(str(tmp_path)).class_names == ("0", "1", "2")


def test_a_second_start_maps_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(write(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr("ganserve.training.datasets.idx.read_idx", None)
        assert load(str(tmp_path)).digest == first.digest
    write(tmp_path, labels=idx_bytes(LABELS[::-1].copy()))
    assert load(str(tmp_path)).digest != first.digest


def emnist(folder: Path, variant: str, values: list[int], split: str = "train") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    labels = np.array(values, dtype=np.uint8)
    images = np.arange(len(values) * 20, dtype=np.uint8).reshape(-1, 4, 5)
    for kind, array in (("images-idx3", images.transpose(0, 2, 1)), ("labels-idx1", labels)):
        (folder / f"emnist-{variant}-{split}-{kind}-ubyte.gz").write_bytes(gzip.compress(idx_bytes(array)))


@pytest.mark.parametrize(
    ("variant", "values", "names"),
    [
        ("letters", [1, 26, 2], ("A", "B", "Z")),
        ("letters", [0, 1, 2], ("0", "1", "2")),
        ("digits", [9, 0, 3], ("0", "3", "9")),
        ("balanced", [9, 35, 46], ("9", "Z", "t")),
        ("bymerge", [10, 36, 38], ("A", "a", "d")),
        ("byclass", [10, 35, 61], ("A", "Z", "z")),
    ],
)
def test_emnist_stands_upright_and_its_classes_are_characters(
    tmp_path: Path, variant: str, values: list[int], names: tuple[str, ...]
) -> None:
    emnist(tmp_path / "gzip", variant, values)
    emnist(tmp_path / "gzip", variant, values[:1], "test")
    dataset, test = load(str(tmp_path / "gzip")), load_test(str(tmp_path / "gzip"))
    np.testing.assert_array_equal(dataset.images[..., 0], np.arange(60).reshape(3, 4, 5))
    assert dataset.class_names == names
    assert dataset.name == f"emnist-{variant}"
    assert dataset.notes == ("EMNIST stores its images column by column; they are turned upright",)
    assert test is not None
    assert test.class_names == names


def test_of_several_one_is_chosen_by_its_file(tmp_path: Path) -> None:
    emnist(tmp_path, "letters", [1, 2])
    emnist(tmp_path, "digits", [5, 6, 7])
    with pytest.raises(DatasetError, match=r"holds 2 data sets; give one of them: .*emnist-digits-train-images.*, .*"):
        load(str(tmp_path))
    letters = load(str(tmp_path / "emnist-letters-train-images-idx3-ubyte.gz"))
    assert letters.class_names == ("A", "B")


@pytest.mark.parametrize("given", ["data", "data/MNIST", "data/MNIST/raw", "data/MNIST/raw/train-images-idx3-ubyte"])
def test_the_folder_that_torchvision_makes(tmp_path: Path, given: str) -> None:
    (tmp_path / "data" / "MNIST").mkdir(parents=True)
    raw = Path(write(tmp_path / "data" / "MNIST" / "raw"))
    for path in list(raw.iterdir()):
        (raw / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(load(str(tmp_path / given)).images, IMAGES[..., np.newaxis])


def test_two_data_sets_in_one_folder_are_named(tmp_path: Path) -> None:
    for name in ("MNIST", "KMNIST"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "raw")
    with pytest.raises(DatasetError, match=r"give one of them: .*/KMNIST/raw/train-images-idx3-ubyte, .*/MNIST/raw/"):
        load(str(tmp_path))
