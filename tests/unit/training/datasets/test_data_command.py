"""`ganserve data inspect` and `ganserve data pack`, and what stands behind them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ganserve.contract.errors import ConfigError, DatasetError
from ganserve.training.cli.data import inspect, pack
from ganserve.training.datasets import load
from ganserve.training.datasets.inspection import inspect_source

WriteImage = Callable[..., None]


@pytest.fixture
def spoilt(folder: Path, write_image: WriteImage) -> Path:
    """The three good images, one of another size, one truncated, one that is none."""
    write_image(folder / "cat" / "wide.png", size=(9, 5), mode="RGB")
    write_image(folder / "cat" / "cut.png", size=(6, 5))
    (folder / "cat" / "cut.png").write_bytes((folder / "cat" / "cut.png").read_bytes()[:-30])
    (folder / "dog" / "fake.png").write_bytes(b"not an image")
    return folder


def test_inspection_of_files(spoilt: Path) -> None:
    (found,) = inspect_source(str(spoilt))
    assert found.split == "train"
    assert found.num_images == 6
    assert found.shape == (5, 6, 1)
    assert found.sizes == {(5, 6): 4, (5, 9): 1}
    assert found.modes == {"L": 4, "RGB": 1}
    assert found.class_counts == {"cat": 3, "dog": 3}
    assert sorted(fault.path for fault in found.faults) == ["cat/cut.png", "cat/wide.png", "dog/fake.png"]


def test_inspection_of_an_array() -> None:
    (found,) = inspect_source("digits")
    assert (found.num_images, found.shape, found.sizes, found.modes) == (1797, (8, 8, 1), {(8, 8): 1797}, {"L": 1797})
    assert found.class_counts["3"] == 183
    assert not found.faults


def test_inspection_of_splits(tmp_path: Path, write_image: WriteImage) -> None:
    for path in ("train/0", "train/1", "test/0"):
        write_image(tmp_path / "flat" / f"{path}.png")
    source = str(tmp_path / "flat")
    assert [(found.split, found.num_images) for found in inspect_source(source)] == [("train", 2), ("test", 1)]
    assert [found.split for found in inspect_source(source, split="test")] == ["test"]
    with pytest.raises(DatasetError, match="has no test images"):
        inspect_source("digits", split="test")


def test_inspect_prints_and_exits_with_three(spoilt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect(str(spoilt)) == 3
    printed = capsys.readouterr().out
    for text in (
        "6×5 (4), 9×5 (1)",
        "L (4), RGB (1)",
        "cat (3), dog (3)",
        "cat/wide.png",
        "or give --size",
        "no; mend",
    ):
        assert text in printed
    assert inspect("digits") is None
    assert "yes, as 8×8, greyscale" in capsys.readouterr().out


def test_what_skip_bad_cannot_mend(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "cat" / "c.PNG").write_bytes(b"not an image")
    assert inspect(str(folder)) == 3
    assert "--skip-bad does not help: every image of class cat is bad" in " ".join(capsys.readouterr().out.split())
    (folder / "dog" / "b.png").write_bytes(b"not an image")
    assert inspect(str(folder)) == 3
    assert "--skip-bad does not help: more than half are bad" in " ".join(capsys.readouterr().out.split())


def test_a_pack_of_other_images_is_not_trainable(
    folder: Path, tmp_path: Path, write_image: WriteImage, capsys: pytest.CaptureFixture[str]
) -> None:
    pack(str(folder), tmp_path / "animals.zip")
    with zipfile.ZipFile(tmp_path / "animals.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    assert inspect(str(tmp_path / "unpacked")) is None
    write_image(tmp_path / "unpacked" / "00000" / "img00000000.png", level=200)
    assert inspect(str(tmp_path / "unpacked")) == 3
    assert "no; its images or labels are not those that were packed" in " ".join(capsys.readouterr().out.split())
    assert inspect(str(tmp_path / "unpacked"), size="4") is None


def test_inspect_with_a_size(spoilt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect(str(spoilt), size="8") == 3
    assert "wide.png" not in capsys.readouterr().out
    for name in ("cat/cut.png", "dog/fake.png"):
        (spoilt / name).unlink()
    assert inspect(str(spoilt), size="8", resize_mode="pad") is None
    assert "yes, as 8×8, RGB" in capsys.readouterr().out


def test_an_inspection_ends_with_what_would_be_trained_on(
    tmp_path: Path, write_image: WriteImage, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in ("Train/cat/0.png", "Train/cat/1.png", "Train/dog/0.png", "val/dog/0.png", "extra/0.png"):
        write_image(tmp_path / "pets" / path)
    (tmp_path / "pets" / "Train" / "cat" / "2.heic").write_text("x")
    assert inspect(str(tmp_path / "pets")) is None
    lines = capsys.readouterr().out.splitlines()
    (first,) = [index for index, line in enumerate(lines) if line.startswith("trains on")]
    assert " ".join(" ".join(lines[first:]).split()) == (
        "trains on 3 images of 6×5, greyscale, 2 classes cat (2), dog (1) "
        "tests on 1 image of 6×5, greyscale, 2 classes cat (0), dog (1) "
        "notes train images are those in Train/ (3), test images are those in val/ (1) "
        "left out beside the splits: extra/ (1) "
        "left out, of formats that are not read: .heic (1), such as Train/cat/2.heic; save them as PNG or JPEG"
    )


def test_test_images_that_cannot_be_used_are_a_note(
    tmp_path: Path, write_image: WriteImage, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in ("train/cat/0.png", "train/dog/0.png", "test/0.png"):
        write_image(tmp_path / "pets" / path)
    assert inspect(str(tmp_path / "pets")) is None
    printed = " ".join(capsys.readouterr().out.split())
    assert "tests on no images of its own" in printed
    assert printed.count("the test images cannot be used: test images of no class") == 1
    with pytest.raises(DatasetError, match="test images of no class"):
        inspect(str(tmp_path / "pets"), split="test")


def test_a_broken_test_zip_is_a_note_too(
    folder: Path, tmp_path: Path, zip_folder: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pair").mkdir()
    zip_folder(folder, tmp_path / "pair" / "train.zip")
    (tmp_path / "pair" / "test.zip").write_text("no zip")
    assert inspect(str(tmp_path / "pair")) is None
    printed = "".join(capsys.readouterr().out.split())
    assert "thetestimagescannotbeused:" in printed
    assert "test.zip:notazipfile" in printed


@pytest.mark.parametrize("out", ["animals/a.zip", "animals/cat/a.zip", "link/a.zip", "animals/../animals/a.zip"])
def test_a_pack_is_not_written_into_its_source(folder: Path, tmp_path: Path, out: str) -> None:
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(ConfigError, match=r"a\.zip: lies in .*, whose images it would become; give a place outside"):
        pack(str(folder), tmp_path / out)
    with pytest.raises(ConfigError, match=r"lies in .*link, whose images it would become"):
        pack(str(tmp_path / "link"), tmp_path / out)
    assert not list(folder.rglob("*.zip"))


def test_pack_and_read_back(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack(str(folder), tmp_path / "animals.zip")
    dataset, back = load(str(folder)), load(str(tmp_path / "animals.zip"))
    assert back.digest == dataset.digest
    assert back.class_names == dataset.class_names
    printed = capsys.readouterr().out
    assert "3 images of 6×5, greyscale, 2 classes" in printed
    assert dataset.digest in printed


def test_pack_fits_and_leaves_out_when_asked(spoilt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DatasetError, match="1 of 6 images cannot be used"):
        pack(str(spoilt), tmp_path / "a.zip", size="8")
    assert not (tmp_path / "a.zip").exists()
    pack(str(spoilt), tmp_path / "a.zip", size="8x4", resize_mode="crop", skip_bad=True)
    assert load(str(tmp_path / "a.zip")).images.shape == (4, 8, 4, 3)
    assert "skipped  2: dog/fake.png (not an image), cat/cut.png" in capsys.readouterr().out


def test_pack_refuses_before_it_reads(folder: Path, tmp_path: Path, num_decoded: Callable[[], int]) -> None:
    (tmp_path / "a.zip").write_text("mine")
    with pytest.raises(ConfigError, match="is there already"):
        pack(str(folder), tmp_path / "a.zip")
    with pytest.raises(ConfigError, match="--size big"):
        pack(str(folder), tmp_path / "b.zip", size="big")
    assert num_decoded() == 0


def test_labels_are_shown_where_names_are_other_numbers(
    tmp_path: Path, write_image: WriteImage, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("1", "2", "10"):
        write_image(tmp_path / "numbered" / name / "0.png")
    inspect(str(tmp_path / "numbered"))
    assert "label 0: 1 (1), label 1: 10 (1), label 2: 2 (1)" in " ".join(capsys.readouterr().out.split())
