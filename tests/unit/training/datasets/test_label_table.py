"""The folder that `ganserve generate --out folder/` writes is a source with its classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from ganserve.client import Samples
from ganserve.client._samples.outputs import OutputOptions, open_output
from ganserve.client._samples.recipes import Recipe
from ganserve.client.formats.contents import Contents
from ganserve.contract.errors import DatasetError
from ganserve.training.datasets import load
from ganserve.training.datasets.inspection import inspect_source
from ganserve.v1.model_pb2 import ModelIdentity

WriteImage = Callable[..., None]
ROWS = ("7-000000.png,2,dog", "7-000001.png,0,cat", "7-000002.png,2,dog")


@pytest.fixture
def samples(tmp_path: Path, write_image: WriteImage) -> Callable[..., Path]:
    """Writes a folder of samples with a table of these rows."""

    def write(rows: Sequence[str] = ROWS, header: str = "file,label,class", folder: str = "samples") -> Path:
        root = tmp_path / folder
        for level in range(3):
            write_image(root / f"7-{level:06d}.png", level=level)
        (root / "labels.csv").write_text("\n".join((header, *rows, "")))
        (root / "samples.json").write_text("{}")
        return root

    return write


def test_a_folder_of_samples(samples: Callable[..., Path]) -> None:
    dataset = load(str(samples()))
    assert dataset.class_names == ("cat", "dog")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [1, 0, 1]
    assert dataset.notes == ()
    (found,) = inspect_source(str(samples()))
    assert found.class_counts == {"cat": 1, "dog": 2}


@pytest.mark.parametrize("class_folders", [False, True])
def test_what_the_client_writes_is_read(tmp_path: Path, class_folders: bool) -> None:
    """Class names that are no folder names, or are those of splits, included."""
    folder = tmp_path / "samples"
    class_names = ["train", "dog: a/b", "test"]
    samples = Samples(
        model=ModelIdentity(name="pets", version=1),
        seed=7,
        indices=np.arange(3, dtype=np.uint64),
        shape=(5, 6, 1),
        labels=np.array([2, 0, 1]),
        _pixels=np.full((3, 5, 6, 1), [[[[1]]], [[[2]]], [[[3]]]], dtype=np.uint8),
    )
    contents = Contents(count=3, last_index=2, shape=samples.shape, class_names=class_names)
    recipe = Recipe(n=3, first_index=0, labels=None, counts=None, truncation=None)
    output = open_output(str(folder), OutputOptions(class_folders=class_folders))
    with output.writing(contents, recipe) as writer:
        writer.add(samples)
    dataset = load(str(folder))
    assert dataset.class_names == tuple(class_names)
    assert dataset.labels is not None
    levels = dataset.images[:, 0, 0, 0].tolist()
    assert dict(zip(levels, dataset.labels.tolist(), strict=True)) == {1: 2, 2: 0, 3: 1}
    assert dataset.notes == ()


def test_classes_have_the_order_of_their_numbers(samples: Callable[..., Path]) -> None:
    rows = ("7-000000.png,10,ant", "7-000001.png,9,zebra", "7-000002.png,10,ant")
    assert load(str(samples(rows))).class_names == ("zebra", "ant")


@pytest.mark.parametrize("top", ["", "samples/"])
def test_a_zip_of_it(samples: Callable[..., Path], zip_folder: Callable[..., str], tmp_path: Path, top: str) -> None:
    folder = samples()
    assert load(zip_folder(folder, tmp_path / "a.zip", top)).digest == load(str(folder)).digest


def test_class_folders_are_found_by_the_table(samples: Callable[..., Path]) -> None:
    folder = samples()
    for name, path in (("7-000000.png", "dog_"), ("7-000001.png", "cat"), ("7-000002.png", "dog_")):
        (folder / path).mkdir(exist_ok=True)
        (folder / name).rename(folder / path / name)
    (folder / "labels.csv").write_text(
        "file,label,class\ndog_/7-000000.png,1,dog?\ncat/7-000001.png,0,cat\ndog_/7-000002.png,1,dog?\n"
    )
    assert load(str(folder)).class_names == ("cat", "dog?")


def test_names_or_numbers_alone_will_do(samples: Callable[..., Path]) -> None:
    rows = [row.split(",") for row in ROWS]
    by_name = load(str(samples([f"{file},{name}" for file, _, name in rows], "file,class", "a")))
    assert by_name.class_names == ("cat", "dog")
    by_number = load(str(samples([f"{number},{file}" for file, number, _ in rows], "label,file", "b")))
    assert by_number.class_names == ("0", "2")
    assert by_number.digest == by_name.digest


def test_samples_of_one_class_have_none(samples: Callable[..., Path]) -> None:
    assert load(str(samples([f"7-00000{index}.png,4,cat" for index in range(3)]))).labels is None


@pytest.mark.parametrize("header", ["file,class", "filename,label", "Image,Category", " PATH ,name", "File,Label"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_tables_of_spreadsheets_and_of_people(
    samples: Callable[..., Path], header: str, delimiter: str, encoding: str
) -> None:
    folder = samples()
    rows = (header, "7-000000.png,dog", "7-000001.png,año", "7-000002.png,dog", ",")
    text = "\r\n".join(rows).replace(",", delimiter)
    (folder / "labels.csv").write_text(text, encoding=encoding)
    dataset = load(str(folder))
    assert dataset.class_names == ("año", "dog")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [1, 0, 1]


def test_capitals_of_file_names_do_not_matter(samples: Callable[..., Path]) -> None:
    assert load(str(samples([row.replace("png", "PNG") for row in ROWS]))).class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        (b"id,breed\na,b\n", r"its labels\.csv has the columns id, breed, where one of file or filename or "),
        (b"id;breed\na;b\n", r"has the columns id, breed, where one of"),
        (b"image,path,class\na,b,c\n", r"has the columns image, path, class, where one of"),
        (b"", "has no columns"),
        ("file,class\na,año\n".encode("latin-1"), r"labels\.csv is not UTF-8 \(.*\); save it as UTF-8"),
        ("file\tclass\na\tb\n".encode("utf-16"), r"labels\.csv is not UTF-8 \(.*\); save it as UTF-8"),
    ],
)
def test_a_table_that_loses_all_classes_is_refused(samples: Callable[..., Path], table: bytes, fault: str) -> None:
    folder = samples()
    (folder / "labels.csv").write_bytes(table)
    with pytest.raises(DatasetError, match=fault):
        load(str(folder))


def test_a_table_of_other_columns_beside_class_folders_is_left_out(folder: Path) -> None:
    (folder / "labels.csv").write_text("id,breed\na,b\n")
    dataset = load(str(folder))
    assert dataset.labels is not None
    assert dataset.notes == ("left out, no images: .csv (1), .txt (1), such as labels.csv",)


def test_a_changed_table_is_read_again(samples: Callable[..., Path]) -> None:
    first = load(str(samples()))
    second = load(str(samples([ROWS[0], ROWS[1], "7-000002.png,0,cat"])))
    assert first.labels is not None
    assert second.labels is not None
    assert (first.labels.tolist(), second.labels.tolist()) == ([1, 0, 1], [1, 0, 0])


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        (ROWS[:2], r"1 images have no label in its labels\.csv, such as 7-000002\.png"),
        ((*ROWS, "8-0.png,0,cat"), r"1 images are missing but in its labels\.csv, such as 8-0\.png"),
        ((*ROWS[:2], ROWS[0]), "names a file twice"),
        ((*ROWS[:2], "7-000002.png,two,dog"), "has no class number for 7-000002.png, but 'two'"),
        ((*ROWS[:2], "7-000002.png"), "has no class number for 7-000002.png, but None"),
        ((*ROWS[:2], "7-000002.png,-1,dog"), "has no class number for 7-000002.png, but '-1'"),
        ((*ROWS[:2], "7-000002.png,0,dog"), "gives two classes the number 0"),
        ((*ROWS[:2], "7-000002.png,1,dog"), "gives two classes the name dog"),
        ((*ROWS[:2], '"7-000002.png,0,cat'), "is no table"),
        ((*ROWS[:2], "7-000002.png,0," + "c" * 200_000), "is no table"),
    ],
)
def test_tables_that_cannot_be_read(samples: Callable[..., Path], rows: Sequence[str], fault: str) -> None:
    with pytest.raises(DatasetError, match=fault):
        load(str(samples(rows)))
