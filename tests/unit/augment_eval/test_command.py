"""`ganserve augment-eval`, from images and a bundle to the verdict."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganserve.augment_eval.records import Records
from ganserve.cli import main

NAMES = ("cat", "dog", "emu")
SHAPE = (6, 5, 3)

Run = Callable[..., int]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache and a working folder of its own for each test."""
    monkeypatch.setenv("GANSERVE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def write_pets(folder: Path, counts: dict[str, tuple[int, ...]], names: tuple[str, ...] = NAMES) -> Path:
    """Images of a split and class, of the generator's shape, bright in the channel of their class."""
    rng = np.random.default_rng(len(counts))
    for split, of_classes in counts.items():
        for label, (name, count) in enumerate(zip(names, of_classes, strict=True)):
            for number in range(count):
                pixels = rng.integers(0, 120, SHAPE, dtype=np.uint8)
                pixels[..., label] += np.uint8(120)
                path = folder / split / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    return folder


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return write_pets(tmp_path / "pets", {"train": (20, 10, 6), "test": (15, 15, 15)})


@pytest.fixture
def bundle(tmp_path: Path, make_bundle: Callable[..., Path]) -> Path:
    return make_bundle(tmp_path / "models")


@pytest.fixture
def run(bundle: Path) -> Run:
    """Runs the command with few steps."""

    def of(real: Path | str, *flags: object) -> int:
        few = {"--steps": 6, "--batch-size": 8, "--ratios": "0.5,1", "--device": "cpu"}
        if "--model" not in flags:
            few["--bundle"] = str(bundle)
        words = [str(word) for pair in few.items() if pair[0] not in flags for word in pair]
        return main(["augment-eval", "--real", str(real), *words, *map(str, flags)])

    return of


def test_from_images_and_a_bundle_to_the_verdict(run: Run, pets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(pets, "--json", "out/found.json") == 0
    output = capsys.readouterr().out
    assert "pets: 36 images of 3 classes, 6×5×3; tested on 45 others" in output
    assert "warning: classes differ in size (the largest class has 4 times as many images" in output
    assert "warning: it is not known whether tiny was trained on images of the test set" in output
    assert "about 0:00:0" in output
    assert "the real images as they are, 6 steps each" in output
    assert re.search(r"^real, oversampled( \*)? +16 +0 +\d\.\d{3} +\d+\.\d% ± \d+\.\d ", output, re.MULTILINE)
    assert re.search(r"^recall of class, % +cat +dog +emu$", output, re.MULTILINE)
    assert re.search(r"^Synthetic images.*95 % interval", output, re.MULTILINE)
    assert "Classic augmentation: shifts by up to an eighth of a side, colours" in output
    assert "where nothing is copied" in output
    found = json.loads(Path("out/found.json").read_text())
    (size,) = found["sizes"]
    assert found["is_finished"]
    assert len(found["trainings"]) == 8 * 3
    assert size["verdict"] in output
    assert [arm["name"] for arm in size["arms"]][:2] == ["real", "real, oversampled"]
    assert size["arms"][0]["real_per_epoch"] == [16, 8, 4]
    assert set(size["arms"][0]["recall"]) == set(NAMES)
    assert {compared["outcome"] for compared in size["comparisons"]} <= {"help", "hurt", "cannot be told apart"}
    assert 0 <= found["memorisation"]["copied"] <= 1
    for picture in ("out/found.png", "out/found-nearest.png"):
        with Image.open(picture) as opened:
            assert opened.mode == "RGB"


def test_it_says_the_same_again_without_training_again(
    run: Run, pets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(pets, "--per-class", "3,6", "--no-memorisation") == 0
    first = capsys.readouterr().out
    assert (first.count("real images per class, "), first.count("Best overall")) == (2, 2)
    assert "copies" not in first
    before = Path("augment-eval.json").read_bytes()
    assert run(pets, "--per-class", "3,6", "--no-memorisation") == 0
    again = capsys.readouterr().out
    assert first[first.index("3 real images") :] == again[again.index("3 real images") :]
    assert " trainings, found by" not in again
    assert Path("augment-eval.json").read_bytes() == before
    assert run(pets, "--per-class", "3,6", "--steps", "7") == 2
    assert (
        "--json augment-eval.json: holds results of other settings (--steps is 7, before 6)" in capsys.readouterr().err
    )


def test_ctrl_c_keeps_what_is_done(
    run: Run, pets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add = Records.add

    def add_and_stop(records: Records, record: Any) -> None:
        add(records, record)
        if sum(1 for _ in records) == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Records, "add", add_and_stop)
        assert run(pets) == 130
    assert "5 trainings are kept in augment-eval.json; the same command goes on" in capsys.readouterr().err
    stopped = json.loads(Path("augment-eval.json").read_text())
    assert (stopped["is_finished"], len(stopped["trainings"])) == (False, 5)
    assert run(pets) == 0
    assert "for 19 trainings, found by" in capsys.readouterr().out
    assert json.loads(Path("augment-eval.json").read_text())["trainings"][:5] == stopped["trainings"]


def test_a_dry_run_trains_nothing(run: Run, pets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(pets, "--dry-run") == 0
    output = capsys.readouterr().out
    assert "for 24 trainings" in output
    assert "ganserve.augment_eval.classifiers:small_cnn" in output
    assert not Path("augment-eval.json").exists()


def test_a_share_can_be_held_out(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = write_pets(tmp_path / "plain", {".": (20, 10, 10)})
    assert run(plain) == 2
    assert "has no test images of its own; name some with --test, or hold some out with --holdout" in (
        capsys.readouterr().err
    )
    assert run(plain, "--holdout", "0.5", "--dry-run") == 0
    assert "tested on 20 others, 50% of the source" in capsys.readouterr().out


def test_other_sizes_and_channels_are_brought_together(
    run: Run, pets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(pets, "--size", "12x10", "--no-memorisation") == 0
    output = capsys.readouterr().out
    assert "warning: samples are 6×5×3 and real images 12×10×3 (height, width, channels)" in output


def test_classes_that_do_not_match_are_told(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("apple", "fig", "plum")
    fruit = write_pets(tmp_path / "fruit", {"train": (5, 5, 5), "test": (5, 5, 5)}, names)
    assert run(fruit) == 3
    assert (
        "real images' classes are 'apple', 'fig', 'plum', and tiny's 'cat', 'dog', 'emu': none has the same name"
        in (capsys.readouterr().err)
    )
    some = write_pets(tmp_path / "some", {"train": (5, 5, 5), "test": (5, 5, 5)}, ("cat", "dog", "yak"))
    assert run(some, "--no-memorisation") == 0
    assert "warning: tiny does not know yak: these classes show real images" in capsys.readouterr().out


OWN_CLASSIFIER = """
from torch import nn

def make(num_classes, channels, size):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size[0] * size[1], num_classes))

def wrong(num_classes, channels, size):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size[0] * size[1], 7))

def broken(num_classes, channels, size):
    raise ValueError("no such luck")
"""


def test_a_classifier_of_ones_own(run: Run, pets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "my_own_models.py").write_text(OWN_CLASSIFIER)
    assert run(pets, "--classifier", "my_own_models:make", "--no-memorisation") == 0
    assert "my_own_models:make, 273 parameters" in capsys.readouterr().out
    for name, fault in (
        ("my_own_models:wrong", "gives (2, 7) for two images, not (2, 3) logits"),
        (
            "my_own_models:broken",
            "does not work as make(3, 3, (6, 5)) on images of that size (ValueError: no such luck",
        ),
        ("my_own_models:none", "my_own_models has no function none"),
        ("not_there_at_all:make", "not_there_at_all cannot be imported (ModuleNotFoundError"),
        ("make", "give module:function, such as my_models:make"),
    ):
        assert run(pets, "--classifier", name, "--json", "other.json") == 2
        assert f"--classifier {name}: {fault}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (("--per-class", "7"), 2, "--per-class 7: pets has 6 of class emu"),
        (("--per-class", "few"), 2, "--per-class few: give whole numbers with commas between them"),
        (("--ratios", "0.5,much"), 2, "--ratios 0.5,much: give numbers with commas between them"),
        (("--seeds", "1"), 2, "--seeds 1: give at least 3 to tell the spread"),
        (("--model", "tiny", "--bundle", "x"), 2, "give --model, for a server's model, or --bundle"),
        (("--bundle", "nowhere"), 3, "nowhere is not a folder"),
        (("--test", "nowhere"), 3, "nowhere: there is no such file or folder"),
    ],
)
def test_flags_that_cannot_be_used(
    run: Run, pets: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], code: int, message: str
) -> None:
    assert run(pets, *flags) == code
    *_, error = capsys.readouterr().err.splitlines()
    assert error.startswith("ganserve: error: ")
    assert message in error


def test_a_file_that_is_something_else_is_left_alone(run: Run, pets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.json").write_text("[1, 2]")
    assert run(pets, "--json", "mine.json") == 3
    assert "--json mine.json: there is a file, and not one of augment-eval" in capsys.readouterr().err
    assert Path("mine.json").read_text() == "[1, 2]"
