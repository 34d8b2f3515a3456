from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets as library
import numpy as np
import pytest
from PIL import Image

from ganserve.contract.errors import ConfigError, DatasetError
from ganserve.training.datasets import load, load_test


@pytest.fixture(autouse=True)
def _no_bars() -> None:
    library.disable_progress_bars()


def rows(labels: list[Any], feature: Any = None, column: str = "label", **more: Any) -> Any:
    """A dataset with an image of 5×4 pixels a label, their levels 0, 1, 2, …"""
    data = {"image": [Image.new("L", (5, 4), level) for level in range(len(labels))], column: labels, **more}
    features = {"image": library.Image(), column: feature or library.ClassLabel(names=["cat", "dog"])}
    features |= dict.fromkeys(more, library.ClassLabel(names=["x", "y"]))
    return library.Dataset.from_dict(data, features=library.Features(features))


def saved(dataset: Any, folder: Path) -> str:
    dataset.save_to_disk(str(folder))
    return str(folder)


def test_one_dataset_is_all_training(tmp_path: Path) -> None:
    source = saved(rows([1, 0, 1]), tmp_path / "pets")
    dataset = load(source)
    assert dataset.class_names == ("cat", "dog")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [1, 0, 1]
    assert dataset.images.shape == (3, 4, 5, 1)
    assert dataset.images[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert dataset.name == "pets"
    assert load_test(source) is None


def test_a_dict_has_splits(tmp_path: Path, num_decoded: Callable[[], int]) -> None:
    source = saved(library.DatasetDict(train=rows([1, 0]), test=rows([1])), tmp_path / "pets")
    test = load_test(source)
    assert len(load(source).images) == 2
    assert test is not None
    assert test.labels is not None
    assert test.labels.tolist() == [1]
    before = num_decoded()
    load(source)
    assert num_decoded() == before


def test_whole_numbers_named_as_labels(tmp_path: Path) -> None:
    number = library.Value("int32")
    source = saved(library.DatasetDict(train=rows([7, 3, 7], number), test=rows([7], number)), tmp_path / "pets")
    test = load_test(source)
    assert load(source).class_names == ("3", "7")
    assert test is not None
    assert test.labels is not None
    assert test.labels.tolist() == [1]


def test_numbers_of_another_name_are_no_labels(tmp_path: Path) -> None:
    assert load(saved(rows([7, 3], library.Value("int64"), "age"), tmp_path / "pets")).labels is None


@pytest.mark.parametrize("column", ["label", "class", "category"])
def test_texts_named_as_labels(tmp_path: Path, column: str) -> None:
    text = library.Value("string")
    parts = library.DatasetDict(train=rows(["dog", "cat"], text, column), test=rows(["dog"], text, column))
    source = saved(parts, tmp_path / "pets")
    test = load_test(source)
    assert load(source).class_names == ("cat", "dog")
    assert test is not None
    assert test.labels is not None
    assert test.labels.tolist() == [1]


def test_truths_named_as_labels(tmp_path: Path) -> None:
    dataset = load(saved(rows([True, False], library.Value("bool")), tmp_path / "pets"))
    assert dataset.class_names == ("False", "True")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [1, 0]


@pytest.mark.parametrize(("values", "dtype"), [(["dog", "cat"] * 2, "string"), ([True, False] * 2, "bool")])
def test_the_only_column_that_can_be_classes(tmp_path: Path, values: list[object], dtype: str) -> None:
    dataset = load(saved(rows(values, library.Value(dtype), "animal"), tmp_path / "pets"))
    assert dataset.num_classes == 2
    assert dataset.notes == ("classes are the values of the column animal",)


@pytest.mark.parametrize(("values", "dtype"), [(["a", "b", "c", "d"], "string"), ([7, 3, 7, 3], "int64")])
def test_a_column_that_may_be_anything_is_named(tmp_path: Path, values: list[object], dtype: str) -> None:
    dataset = load(saved(rows(values, library.Value(dtype), "note"), tmp_path / "pets"))
    assert dataset.labels is None
    assert dataset.notes == (
        "none of the columns note is taken for labels; rename one `label` to train on its classes",
    )


def test_a_validation_split_is_the_test_split_where_there_is_no_other(tmp_path: Path) -> None:
    parts = {"train": rows([1, 0]), "validation": rows([1])}
    source = saved(library.DatasetDict(parts), tmp_path / "pets")
    test = load_test(source)
    assert test is not None
    assert len(test.images) == 1
    assert load(source).notes == ("test images are those in validation (1)",)
    assert load(saved(library.DatasetDict(parts, test=rows([0])), tmp_path / "more")).notes == (
        "left out beside the splits: validation (1)",
    )


class TestParquet:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """As the Hub keeps them."""
        data = tmp_path / "pets" / "data"
        data.mkdir(parents=True)
        text = library.Value("string")
        rows(["dog", "cat"], text).to_parquet(str(data / "train-00000-of-00002.parquet"))
        rows(["dog"], text).to_parquet(str(data / "train-00001-of-00002.parquet"))
        rows(["cat"], text).to_parquet(str(data / "validation-00000-of-00001.parquet"))
        (tmp_path / "pets" / "README.md").write_text("x")
        return tmp_path / "pets"

    def test_a_folder_of_files(self, folder: Path, num_decoded: Callable[[], int]) -> None:
        for source in (folder, folder / "data"):
            dataset, test = load(str(source)), load_test(str(source))
            assert dataset.class_names == ("cat", "dog")
            assert dataset.labels is not None
            assert dataset.labels.tolist() == [1, 0, 1]
            assert dataset.images[:, 0, 0, 0].tolist() == [0, 1, 0]
            assert test is not None
            assert len(test.images) == 1
        before = num_decoded()
        load(str(folder))
        assert num_decoded() == before

    def test_one_file(self, folder: Path) -> None:
        assert len(load(str(folder / "data" / "train-00000-of-00002.parquet")).images) == 2
        (folder / "data" / "train-00000-of-00002.parquet").rename(folder / "pets.parquet")
        assert len(load(str(folder / "pets.parquet")).images) == 2

    def test_files_without_splits_are_all_training(self, folder: Path) -> None:
        for index, path in enumerate(sorted((folder / "data").iterdir())):
            path.rename(folder / "data" / f"{index:04}.parquet")
        assert len(load(str(folder)).images) == 4

    @pytest.mark.parametrize("form", ["bytes", "bytes and path"])
    def test_bytes_that_are_named_image(self, tmp_path: Path, form: str) -> None:
        file = io.BytesIO()
        Image.new("L", (5, 4), 7).save(file, "PNG")
        value: Any = file.getvalue()
        feature: Any = library.Value("binary")
        if form == "bytes and path":
            value, feature = {"bytes": value, "path": "0.png"}, {"bytes": feature, "path": library.Value("string")}
        features = library.Features({"image": feature})
        library.Dataset.from_dict({"image": [value]}, features=features).to_parquet(str(tmp_path / "a.parquet"))
        assert load(str(tmp_path / "a.parquet")).images[0, 0, 0, 0] == 7

    def test_a_torn_file(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        for path in (folder / "data").iterdir():
            path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(DatasetError, match=r"pets: cannot be read .*make or fetch its Parquet files again$"):
            load(str(folder))
        with pytest.raises(DatasetError, match=r"parquet: cannot be read .*; make or fetch it again$"):
            load(str(path))
        assert capfd.readouterr() == ("", "")

    def test_nothing_is_printed(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        load(str(folder))
        assert capfd.readouterr() == ("", "")


def test_of_several_columns_of_classes_the_one_named_label(tmp_path: Path) -> None:
    assert load(saved(rows([0, 1], colour=[0, 0]), tmp_path / "a")).class_names == ("cat", "dog")
    with pytest.raises(DatasetError, match="columns of classes animal, colour; keep one, or name it label"):
        load(saved(rows([0, 1], column="animal", colour=[0, 0]), tmp_path / "b"))


def test_a_row_without_a_class(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="label is -1 in a row of train, which is no class"):
        load(saved(rows([0, -1, 1]), tmp_path / "pets"))


def test_no_column_of_images(tmp_path: Path) -> None:
    source = saved(library.Dataset.from_dict({"text": ["a", "b"]}), tmp_path / "texts")
    with pytest.raises(DatasetError, match="no column of images among text"):
        load(source)


def test_bad_rows_are_told_by_number(tmp_path: Path) -> None:
    features = library.Features({"image": library.Image()})
    Image.new("L", (5, 4)).save(tmp_path / "0.png")
    good = {"bytes": (tmp_path / "0.png").read_bytes(), "path": None}
    images = [
        good,
        None,
        {"bytes": b"none", "path": None},
        good,
        good,
        {"bytes": None, "path": str(tmp_path / "0.png")},
    ]
    dataset = library.Dataset.from_dict({"image": images}, features=features)
    source = saved(dataset, tmp_path / "pets")
    with pytest.raises(DatasetError, match=r"2 of 6 .*train/1 \(no image in this row\), train/2 \(not an image\)"):
        load(source)
    assert len(load(source, skip_bad=True).images) == 4


def test_a_torn_folder(tmp_path: Path) -> None:
    source = saved(rows([0, 1]), tmp_path / "pets")
    (arrow,) = Path(source).glob("*.arrow")
    arrow.write_bytes(arrow.read_bytes()[:100])
    with pytest.raises(DatasetError, match="pets: cannot be read"):
        load(source)


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = saved(rows([0, 1]), tmp_path / "pets")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match=r"pip install .* '\.\[huggingface\]'"):
        load(source)


def test_a_dataset_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network apart: the library's own answer is a saved dataset's."""
    source = saved(library.DatasetDict(train=rows([1, 0]), test=rows([1])), tmp_path / "pets")
    asked: list[tuple[str, str | None]] = []

    def load_dataset(name: str, *, revision: str | None) -> Any:
        asked.append((name, revision))
        return library.load_from_disk(source)

    monkeypatch.setattr(library, "load_dataset", load_dataset)
    dataset = load("hf://somebody/pets@v1")
    test = load_test("hf://somebody/pets")
    assert asked == [("somebody/pets", "v1"), ("somebody/pets", None)]
    assert dataset.name == "pets"
    np.testing.assert_array_equal(dataset.images, load(source).images)
    assert test is not None
    assert len(test.images) == 1


def test_a_folder_with_the_name_of_a_hub_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(rows([1, 0]), tmp_path / "somebody" / "pets")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"the library would read .*somebody/pets instead; give that path"):
        load("hf://somebody/pets")


def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(name: str, **_: object) -> Any:
        raise ConnectionError(f"no route to {name}")

    monkeypatch.setattr(library, "load_dataset", load_dataset)
    with pytest.raises(DatasetError, match=r"hf://a/b: cannot be fetched \(no route to a/b\); check the name"):
        load("hf://a/b")


@pytest.mark.parametrize("source", ["hf://", "hf://a/b/c", "hf:///b", "hf://@v1"])
def test_names_that_the_hub_has_not(source: str) -> None:
    with pytest.raises(ConfigError, match="the Hub's names are hf://user/name"):
        load(source)
