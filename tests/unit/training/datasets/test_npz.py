from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganserve.contract.errors import DatasetError
from ganserve.training.datasets import load, load_test

GREY = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
COLOUR = np.arange(3 * 4 * 5 * 3, dtype=np.uint8).reshape(3, 4, 5, 3)
LABELS = np.array([4, 9, 4])


def write(folder: Path, **arrays: Any) -> str:
    path = folder / "set.npz"
    np.savez_compressed(path, **arrays)
    return str(path)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (GREY, GREY[..., np.newaxis]),
        (GREY[..., np.newaxis], GREY[..., np.newaxis]),
        (GREY[:, np.newaxis], GREY[..., np.newaxis]),
        (COLOUR, COLOUR),
        (COLOUR.transpose(0, 3, 1, 2), COLOUR),
        (np.asfortranarray(COLOUR), COLOUR),
    ],
)
def test_every_order_of_axes(tmp_path: Path, images: np.ndarray, expected: np.ndarray) -> None:
    dataset = load(write(tmp_path, images=images))
    np.testing.assert_array_equal(dataset.images, expected)
    assert dataset.images.flags.c_contiguous
    assert dataset.labels is None
    assert dataset.name == "set"


@pytest.mark.parametrize("labels", [LABELS, LABELS[:, np.newaxis], LABELS.astype(np.uint8)])
def test_a_class_is_a_label_that_occurs(tmp_path: Path, labels: np.ndarray) -> None:
    dataset = load(write(tmp_path, images=GREY, labels=labels))
    assert dataset.class_names == ("4", "9")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [0, 1, 0]


def test_keras_keys_are_splits(tmp_path: Path) -> None:
    source = write(tmp_path, x_train=GREY, y_train=LABELS, x_test=GREY[1:2], y_test=LABELS[1:2])
    test = load_test(source)
    assert test is not None
    assert test.class_names == load(source).class_names == ("4", "9")
    assert test.labels is not None
    assert test.labels.tolist() == [1]
    assert load_test(write(tmp_path, images=GREY)) is None


@pytest.mark.parametrize(
    ("arrays", "fault"),
    [
        ({"pictures": GREY}, r"no `images` and no `x_train` in it; rename pictures"),
        ({"images": GREY / 255}, "images is of float64, not of whole numbers"),
        ({"images": GREY.astype(np.int64)}, "images is of int64, not uint8"),
        ({"images": GREY[0]}, r"has shape \(4, 5\), not"),
        ({"images": np.zeros((2, 4, 4, 4), np.uint8)}, r"has shape \(2, 4, 4, 4\), not"),
        ({"images": np.zeros((2, 0, 4), np.uint8)}, "images of 4×0 pixels"),
        ({"images": GREY[:0]}, "no images"),
        ({"images": GREY, "labels": LABELS[:2]}, "2 labels but 3 images"),
        ({"images": GREY, "labels": np.eye(3, dtype=np.int64)}, r"labels has shape \(3, 3\), not \(N,\)"),
        ({"images": np.array([{"a": 1}], dtype=object)}, "images is of object"),
        ({"images": GREY, "labels": np.array(["a", "b", "c"])}, "labels is of <U1"),
        ({"x_train": GREY, "y_train": LABELS, "x_test": GREY, "y_test": LABELS + 1}, ""),
    ],
)
def test_arrays_that_are_no_images(tmp_path: Path, arrays: dict[str, Any], fault: str) -> None:
    source = write(tmp_path, **arrays)
    if "x_test" in arrays:
        with pytest.raises(DatasetError, match="test images of class 5, which no training image has"):
            load_test(source)
    else:
        with pytest.raises(DatasetError, match=fault):
            load(source)


def test_a_promise_of_terabytes_costs_no_memory(tmp_path: Path) -> None:
    lie = io.BytesIO()
    np.lib.format.write_array_header_1_0(lie, {"descr": "|u1", "fortran_order": False, "shape": (10**9, 64, 64)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", lie.getvalue() + bytes(100))
    with pytest.raises(DatasetError, match="images is truncated"):
        load(str(tmp_path / "a.npz"))


def test_a_torn_file(tmp_path: Path) -> None:
    path = Path(write(tmp_path, images=GREY))
    data = bytearray(path.read_bytes())
    data[70:90] = bytes(20)
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"set\.npz: cannot be read"):
        load(str(path))


def test_a_second_start_maps_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(write(tmp_path, images=GREY, labels=LABELS))
    with monkeypatch.context() as patch:
        patch.setattr("ganserve.training.datasets.npz._read", None)
        assert load(str(tmp_path / "set.npz")).digest == first.digest
    assert load(write(tmp_path, images=255 - GREY, labels=LABELS)).digest != first.digest
