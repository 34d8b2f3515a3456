"""A folder and the zip of it are the same data set, or are refused in the same words."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ganserve.contract.errors import DatasetError
from ganserve.training.datasets import ImageDataset, load

WriteImage = Callable[..., None]
Write = Callable[[Sequence[str]], tuple[Path, str]]

CAT_DOG = ("cat/0.png", "dog/0.png")
TREES: dict[str, tuple[Sequence[str], tuple[str, ...] | str]] = {
    "class folders": (CAT_DOG, ("cat", "dog")),
    "a folder around them": ([f"pets/{path}" for path in CAT_DOG], ("cat", "dog")),
    "two folders around them": ([f"archive/pets/{path}" for path in CAT_DOG], ("cat", "dog")),
    "one picture beside them": ([*CAT_DOG, "cover.png"], "cover.png is in no class folder, others are"),
    "and a folder around": (
        [f"pets/{path}" for path in (*CAT_DOG, "cover.png")],
        "pets/cover.png is in no class folder, others are",
    ),
    "one picture beside the folder around": (
        [*(f"pets/{path}" for path in CAT_DOG), "cover.png"],
        "cover.png is in no class folder, others are",
    ),
    "one class": (["cat/0.png", "cat/1.png"], ()),
    "one class, some deeper": (["cat/0.png", "cat/old/1.png"], ()),
    "flat": (["0.png", "1.png"], ()),
    "flat in a folder": (["pets/0.png", "pets/1.png"], ()),
    "deep in class folders": (["cat/a/b/0.png", "dog/1.png"], ("cat", "dog")),
    "side folders": (
        [
            *CAT_DOG,
            "@eaDir/cat/0.png",
            "cat/@eaDir/0.png@SynoEAStream/a.jpg",
            "__MACOSX/cat/0.png",
            ".thumbs/0.png",
            "#recycle/1.png",
            "cat/._0.png",
        ],
        ("cat", "dog"),
    ),
    "no image": (["cat/a.txt"], r"no images in it; .*; what it holds is \.txt \(1\)"),
}


@pytest.fixture
def write(tmp_path: Path, write_image: WriteImage, zip_folder: Callable[..., str]) -> Write:
    """Writes files, and returns their folder and a zip of it."""

    def of(paths: Sequence[str]) -> tuple[Path, str]:
        folder = tmp_path / "root"
        for level, path in enumerate(paths):
            write_image(folder / path, level=level) if path.endswith("g") else _text(folder / path)
        return folder, zip_folder(folder, tmp_path / "root.zip")

    return of


def _text(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")


def outcome(source: str) -> object:
    try:
        return facts(load(source))
    except DatasetError as error:
        return str(error).removeprefix(source)


def facts(dataset: ImageDataset) -> object:
    return dataset.digest, dataset.class_names, dataset.notes, dataset.name


@pytest.mark.parametrize("name", TREES)
def test_a_zip_is_its_folder(write: Write, name: str) -> None:
    paths, expected = TREES[name]
    folder, archive = write(paths)
    assert outcome(str(folder)) == outcome(archive)
    if isinstance(expected, str):
        with pytest.raises(DatasetError, match=expected):
            load(archive)
    else:
        assert load(archive).class_names == expected


@pytest.mark.parametrize("create_system", [0, 3])
def test_a_zip_with_backslashes(write: Write, tmp_path: Path, create_system: int) -> None:
    folder, archive = write(CAT_DOG)
    with zipfile.ZipFile(tmp_path / "windows.zip", "w") as file:
        for path in ("cat\\", *CAT_DOG):
            entry = zipfile.ZipInfo(path.replace("/", "\\"))
            entry.create_system = create_system
            file.writestr(entry, b"" if path == "cat\\" else (folder / path).read_bytes())
    found = load(str(tmp_path / "windows.zip"))
    assert found.digest == load(archive).digest
    assert found.class_names == ("cat", "dog")
    assert found.notes == ()


def test_a_windows_zip_that_was_unpacked_without_folders(write: Write) -> None:
    folder, archive = write(CAT_DOG)
    digest = load(archive).digest
    for path in CAT_DOG:
        (folder / path).rename(folder / path.replace("/", "\\"))
    assert load(str(folder)).digest == digest
    assert load(str(folder)).class_names == ("cat", "dog")


def test_a_backslash_does_not_lead_out(write: Write) -> None:
    folder, archive = write(CAT_DOG)
    with zipfile.ZipFile(archive, "a") as file:
        file.write(folder / "cat/0.png", "..\\up\\0.png")
    with pytest.raises(DatasetError, match=r"\.\./up/0\.png leads out of it"):
        load(archive)


class TestWhatIsLeftOut:
    def test_is_counted_and_named(self, write: Write) -> None:
        for source in write([*CAT_DOG, "cat/1.heic", "cat/2.heic", "dog/1.AVIF", "notes.txt", "README", "a.json"]):
            assert load(str(source)).notes == (
                (
                    "left out, of formats that are not read: .heic (2), .avif (1), such as cat/1.heic; "
                    "save them as PNG or JPEG"
                ),
                "left out, no images: no suffix (1), .json (1), .txt (1), such as README",
            )

    @pytest.mark.parametrize("top", ["", "pets/", "train/"])
    def test_a_class_of_which_nothing_can_be_read_is_refused(self, write: Write, top: str) -> None:
        for source in write([*(f"{top}{path}" for path in CAT_DOG), f"{top}emu/0.heic", f"{top}emu/1.heic"]):
            with pytest.raises(
                DatasetError, match=r"the images in emu/ are all of formats that are not read, .heic \(2"
            ):
                load(str(source))

    def test_one_class_left_of_two_is_refused_too(self, write: Write) -> None:
        for source in write(["cat/0.png", "dog/0.heic"]):
            with pytest.raises(DatasetError, match=r"the images in dog/ are all of formats that are not read"):
                load(str(source))

    def test_a_cover_of_another_format_is_only_named(self, write: Write) -> None:
        for source in write([*CAT_DOG, "cover.psd"]):
            assert load(str(source)).class_names == ("cat", "dog")

    def test_the_way_in_is_told_where_there_is_no_image(self, write: Write) -> None:
        for archive in ("pets.zip", "cifar-10-python.tar.gz"):
            folder, _ = write([f"a/{archive}", "data_batch_1.bin"])
            with pytest.raises(
                DatasetError, match=rf"give that, such as {folder}/a/{archive}; .*CIFAR's binary version"
            ):
                load(str(folder))
            shutil.rmtree(folder)

    def test_tars_are_not_advised_where_they_cannot_be_read(self, write: Write) -> None:
        folder, _ = write(["samples-00000-of-00002.tar", "samples-00001-of-00002.tar"])
        with pytest.raises(
            DatasetError, match=r"of tars only CIFAR's is read; unpack others, and have `ganserve dump`"
        ):
            load(str(folder))


def test_the_same_files_are_found_again_whatever_else_comes(write: Write, num_decoded: Callable[[], int]) -> None:
    folder, _ = write(CAT_DOG)
    load(str(folder))
    (folder / "notes.txt").write_text("x")
    assert load(str(folder)).notes == ("left out, no images: .txt (1), such as notes.txt",)
    assert num_decoded() == 4
