"""Images that people hold out are not trained on, whatever they call the folder and wherever it lies."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from rich.console import Console

from ganserve.contract.errors import DatasetError
from ganserve.training import TrainingConfig
from ganserve.training.datasets import load, load_test
from ganserve.training.run import load_dataset

WriteImage = Callable[..., None]
Tree = Callable[[Mapping[str, int]], str]


@pytest.fixture(params=["folder", "zip"])
def tree(
    request: pytest.FixtureRequest, tmp_path: Path, write_image: WriteImage, zip_folder: Callable[..., str]
) -> Tree:
    """Writes images of these levels, and returns the folder that holds them, or a zip of it."""

    def write(levels: Mapping[str, int]) -> str:
        for path, level in levels.items():
            write_image(tmp_path / "pets" / f"{path}.png", level=level)
        return (
            str(tmp_path / "pets") if request.param == "folder" else zip_folder(tmp_path / "pets", tmp_path / "a.zip")
        )

    return write


def levels(source: str) -> list[int]:
    return [int(level) for level in load(source).images[:, 0, 0, 0]]


def held_out_levels(source: str) -> list[int]:
    test = load_test(source)
    return [] if test is None else [int(level) for level in test.images[:, 0, 0, 0]]


@pytest.mark.parametrize("train", ["train", "Training", "TRAIN"])
@pytest.mark.parametrize("held_out", ["val", "valid", "Validation", "test", "Testing"])
@pytest.mark.parametrize("top", ["", "animals/", "archive/animals/"])
def test_splits_are_known_by_every_name(tree: Tree, train: str, held_out: str, top: str) -> None:
    source = tree(
        {
            f"{top}{train}/cat/0": 1,
            f"{top}{train}/dog/0": 2,
            f"{top}{held_out}/cat/0": 3,
            f"{top}{held_out}/dog/0": 4,
        }
    )
    dataset = load(source)
    assert dataset.class_names == ("cat", "dog")
    assert levels(source) == [1, 2]
    assert held_out_levels(source) == [3, 4]
    assert f"train images are those in {train}/ (2), test images are those in {held_out}/ (2)" in dataset.notes


def test_without_classes(tree: Tree) -> None:
    source = tree({"train/0": 1, "train/1": 2, "val/0": 3})
    assert load(source).labels is None
    assert levels(source) == [1, 2]
    assert held_out_levels(source) == [3]


def test_of_three_splits_validation_is_left_out_and_said(tree: Tree) -> None:
    source = tree({"train/0": 1, "val/0": 2, "test/0": 3, "extra/0": 4, "preview": 5})
    assert levels(source) == [1]
    assert held_out_levels(source) == [3]
    assert load(source).notes == (
        "train images are those in train/ (1), test images are those in test/ (1)",
        "left out beside the splits: images in no folder (1), extra/ (1), val/ (1)",
    )


def test_splits_inside_of_class_folders(tree: Tree) -> None:
    source = tree({"cat/train/0": 1, "cat/val/0": 2, "dog/train/0": 3, "dog/val/0": 4})
    dataset = load(source)
    assert dataset.class_names == ("cat", "dog")
    assert levels(source) == [1, 3]
    assert held_out_levels(source) == [2, 4]


def test_a_folder_around_the_classes_of_each_split(tree: Tree) -> None:
    source = tree({"train/train/cat/0": 1, "train/train/dog/0": 2, "test/test/dog/0": 3})
    assert load(source).class_names == ("cat", "dog")
    assert held_out_levels(source) == [3]


def test_a_folder_around_the_classes_of_the_only_split(tree: Tree) -> None:
    source = tree({"train/train/cat/0": 1, "train/train/dog/0": 2})
    assert load(source).class_names == ("cat", "dog")
    assert load_test(source) is None


def test_a_class_may_have_the_name_of_a_split(tree: Tree) -> None:
    source = tree({"train/0": 1, "bus/0": 2, "plane/0": 3})
    assert load(source).class_names == ("bus", "plane", "train")
    assert load(source).notes == ("train/ is taken for a class, because of the other folders beside it",)


@pytest.mark.parametrize(("first", "second", "split"), [("Train", "training", "train"), ("val", "valid", "validation")])
def test_two_folders_for_one_split_are_refused(tree: Tree, first: str, second: str, split: str) -> None:
    source = tree({"train/0": 1, "test/0": 2, f"{first}/1": 3, f"{second}/1": 4})
    with pytest.raises(DatasetError, match=f"and .* are both the {split} split; keep or join them as one"):
        load(source)


@pytest.mark.parametrize(("path", "name"), [("val/emu/0", "emu"), ("val/0", "no class")])
def test_test_images_of_other_classes_are_no_hindrance_to_training(tree: Tree, path: str, name: str) -> None:
    source = tree({"train/cat/0": 1, "train/dog/0": 2, path: 3})
    assert levels(source) == [1, 2]
    assert load(source).notes[-1] == (
        f"the test images cannot be used: test images of {name}, and no training images of it"
    )
    with pytest.raises(DatasetError, match=f"test images of {name}, and no training images of it"):
        load_test(source)


@pytest.mark.parametrize("name", ["Test", "val.zip", "VALIDATION.ZIP"])
def test_two_zips_under_other_names(
    tmp_path: Path, write_image: WriteImage, zip_folder: Callable[..., str], name: str
) -> None:
    for split, level in (("train", 1), ("test", 2)):
        write_image(tmp_path / split / "0.png", level=level)
    pair = tmp_path / "pair"
    pair.mkdir()
    zip_folder(tmp_path / "train", pair / "Train.zip")
    zip_folder(tmp_path / "test", pair / (name if "." in name else f"{name}.zip"))
    (pair / "notes.txt").write_text("x")
    assert levels(str(pair)) == [1]
    assert held_out_levels(str(pair)) == [2]
    assert load(str(pair)).notes[1] == "left out beside the zips: notes.txt"


def test_training_says_what_it_trains_on(tree: Tree, make_config: Callable[..., TrainingConfig]) -> None:
    source = tree({"train/cat/0": 1, "train/dog/0": 2, "val/cat/0": 3})
    printed = io.StringIO()
    load_dataset(make_config(data=source), Console(file=printed, width=80))
    assert "note: train images are those in train/ (2), test images are those in val/ (1)\n" in printed.getvalue()
