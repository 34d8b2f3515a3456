from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

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
        ({"images": GREY - 70.0}, "images has levels from -70 to -11, not from 0 to 1, -1 to 1 or 0 to 255"),
        ({"images": GREY * np.nan}, "images has levels that are infinite or no numbers"),
        ({"images": GREY.astype(np.int64) * 1000}, "images is of int64 with levels from 0 to 59000, not from 0 to 255"),
        ({"images": GREY.astype(np.int64) % 2}, "images is of int64 with levels 0 and 1; multiply it with 255"),
        ({"images": GREY.astype(str)}, "images is of <U3, not of numbers"),
        ({"images": GREY[0]}, r"has shape \(4, 5\), not"),
        ({"images": np.zeros((2, 4, 4, 4, 4), np.uint8)}, r"has shape \(2, 4, 4, 4, 4\), not"),
        ({"images": np.zeros((2, 5, 5, 5), np.uint8)}, r"has shape \(2, 5, 5, 5\), not"),
        ({"images": np.zeros((2, 0, 4), np.uint8)}, "images of 4×0 pixels"),
        ({"images": GREY[:0]}, "no images"),
        ({"images": GREY, "labels": LABELS[:2]}, "2 labels but 3 images"),
        ({"images": GREY, "labels": np.eye(3, dtype=np.int64)}, r"labels has shape \(3, 3\), not \(N,\)"),
        ({"images": np.array([{"a": 1}], dtype=object)}, "images is of object"),
        ({"images": GREY, "labels": np.array([0.5, 1, 2])}, "labels has classes that are no whole numbers"),
        ({"images": GREY, "labels": np.array([b"a", b"b", b"\xff"])}, "labels holds texts that are not UTF-8"),
        ({"images": GREY, "labels": LABELS, "class_names": np.array(["a", "b"])}, "labels are not numbers from 0 to 1"),
        ({"images": GREY, "labels": LABELS, "class_names": np.array(["a", "a"])}, "class_names are not different"),
        ({"x_train": GREY, "y_train": LABELS, "x_test": GREY, "y_test": LABELS + 1}, ""),
    ],
)
def test_arrays_that_are_no_images(tmp_path: Path, arrays: dict[str, Any], fault: str) -> None:
    source = write(tmp_path, **arrays)
    if "x_test" in arrays:
        with pytest.raises(DatasetError, match="test images of class 5, which no training image has"):
            load_test(source)
    else:
        with pytest.raises(DatasetError, match=fault) as caught:
            load(source)
        assert str(caught.value).startswith(f"{source}: ")


@pytest.mark.parametrize(
    ("images", "note"),
    [
        (GREY / np.float32(255), "images is of float32; levels from 0 to 1 are scaled to 0 to 255"),
        (GREY / 255, "images is of float64; levels from 0 to 1 are scaled to 0 to 255"),
        (GREY / 127.5 - 1, "images is of float64; levels from -1 to 1 are scaled to 0 to 255"),
        (GREY.astype(np.float16), ""),
        (GREY + np.float32(0.25), "images is of float32; levels are rounded to whole numbers"),
        (GREY.astype(np.int64), ""),
        (GREY.astype(np.uint16), ""),
        (GREY.astype(np.uint16) * 256 + 77, "images is of uint16; levels from 0 to 65280 are scaled to 0 to 255"),
    ],
)
def test_levels_of_every_clear_range(tmp_path: Path, images: np.ndarray, note: str) -> None:
    dataset = load(write(tmp_path, images=images))
    np.testing.assert_array_equal(dataset.images[..., 0], GREY)
    assert dataset.notes == ((note,) if note else ())


def test_truths_are_black_and_white(tmp_path: Path) -> None:
    dataset = load(write(tmp_path, images=GREY > 30))
    np.testing.assert_array_equal(dataset.images[..., 0], np.where(GREY > 30, 255, 0))


def test_both_splits_have_the_range_of_the_training_images(tmp_path: Path) -> None:
    source = write(tmp_path, x_train=GREY / 127.5 - 1, x_test=np.zeros((1, 4, 5)))
    test = load_test(source)
    assert test is not None
    assert test.images[0, 0, 0, 0] == 128
    with pytest.raises(DatasetError, match="x_test has levels outside of the training images' 0 to 59"):
        load_test(write(tmp_path, x_train=GREY * 1.0, x_test=GREY * 10.0))


@pytest.mark.parametrize("dtype", ["U", "S"])
def test_texts_are_classes(tmp_path: Path, dtype: str) -> None:
    source = write(tmp_path, images=GREY, labels=np.array(["dog", "cat", "dog"]).astype(dtype))
    dataset = load(source)
    assert dataset.class_names == ("cat", "dog")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [1, 0, 1]


def test_whole_floats_and_truths_are_classes(tmp_path: Path) -> None:
    assert load(write(tmp_path, images=GREY, labels=LABELS * 1.0)).class_names == ("4", "9")
    assert load(write(tmp_path, images=GREY, labels=LABELS > 5)).class_names == ("False", "True")


def test_class_names_beside_the_labels(tmp_path: Path) -> None:
    """As `ganserve generate --out samples.npz` writes them."""
    names = np.array(["cat", "dog", "emu"])
    dataset = load(write(tmp_path, images=GREY, labels=np.array([2, 0, 2]), class_names=names, seed=np.uint64(7)))
    assert dataset.class_names == ("cat", "dog", "emu")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [2, 0, 2]


def test_validation_images_are_the_test_split_where_there_is_no_other(tmp_path: Path) -> None:
    arrays = {"train_images": GREY, "train_labels": LABELS, "val_images": GREY[:1], "val_labels": LABELS[:1]}
    test = load_test(write(tmp_path, **arrays))
    assert test is not None
    assert len(test.images) == 1
    source = write(tmp_path, **arrays, test_images=GREY[:2], test_labels=LABELS[:2])
    test = load_test(source)
    assert test is not None
    assert len(test.images) == 2
    assert load(source).notes == ("left out beside the splits: val_images",)


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


def test_class_names_give_texts_their_order(tmp_path: Path) -> None:
    arrays = {"images": GREY, "class_names": np.array(["dog", "emu", "cat"])}
    dataset = load(write(tmp_path, **arrays, labels=np.array(["cat", "dog", "cat"])))
    assert dataset.class_names == ("dog", "emu", "cat")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [2, 0, 2]
    with pytest.raises(DatasetError, match="nor all of them such names"):
        load(write(tmp_path, **arrays, labels=np.array(["cat", "dog", "ant"])))


def test_another_order_of_axes_is_told(tmp_path: Path) -> None:
    turned = load(write(tmp_path, images=COLOUR.transpose(0, 3, 1, 2)))
    assert turned.notes == ("images has shape (3, 3, 4, 5), which is taken for (N, C, H, W)",)
    assert load(write(tmp_path, images=COLOUR)).notes == ()


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 3, 1, 2)])
def test_transparent_arrays_are_on_black_as_files_are(tmp_path: Path, order: tuple[int, ...]) -> None:
    rgba = np.random.default_rng(0).integers(0, 256, (3, 5, 6, 4), dtype=np.uint8)
    for index, image in enumerate(rgba):
        (tmp_path / "files").mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / "files" / f"{index}.png")
    dataset = load(write(tmp_path, images=rgba.transpose(order)))
    assert dataset.digest == load(str(tmp_path / "files")).digest
    assert dataset.notes[-1] == "images has four channels; the fourth is taken for opacity, on black"
