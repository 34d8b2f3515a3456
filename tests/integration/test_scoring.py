"""`ganserve score`, and the commands whose samples are the best of several or pass through translators."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganserve.cli import main
from ganserve.client import Client, LocalGenerator, address_of
from ganserve.contract.images import Images
from ganserve.contract.textures import sample_textures
from ganserve.v1.bundle_pb2 import Parity

from ..scorers import CLASSES, SHAPE, make_scorer, scores_of
from ..servers import RunCommand, ServerProcess, StartServer
from ..translators import make_translator

MakeBundle = Callable[..., Path]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, tiny_parity: Parity, make_bundle: MakeBundle) -> Path:
    folder = tmp_path_factory.mktemp("models")
    make_bundle(folder)
    make_scorer(folder, tiny_parity)
    make_scorer(folder, tiny_parity, "plain", classes=[], has_quantiles=False)
    make_translator(folder, tiny_parity, tile=SHAPE[:2])
    return folder


@pytest.fixture(scope="module")
def server(models: Path, start_server: StartServer) -> Iterator[ServerProcess]:
    with start_server(models) as server:
        yield server


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Images]:
    """Images by file in the folder `photos`, by class, beside a torn one; the test is in the folder above."""
    monkeypatch.chdir(tmp_path)
    images: dict[str, Images] = {}
    for number, image in enumerate(sample_textures(6, 0, 12, SHAPE)):
        name = f"{CLASSES[number % 3]}/{number:02d}.png"
        images[name] = image
        Path("photos", name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(Path("photos", name))
    Path("photos", "cat", "torn.png").write_bytes(Path("photos", "cat", "00.png").read_bytes()[:40])
    return images


def rows_of(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_worst_images_come_first_and_those_that_cannot_be_read_before_them(
    models: Path, server: ServerProcess, photos: dict[str, Images], run_command: RunCommand
) -> None:
    done = run_command("score", "photos", "there.csv", "--model", "tiny-classifier", "--server", server.address)
    assert done.returncode == 0, done.stderr
    assert "there.csv: 13 images by tiny-classifier:1@" in done.stdout
    assert "there.sheet.png: the worst of them, and below the line the best" in done.stdout
    assert "1 file could not be read" in done.stdout
    torn, *rows = rows_of("there.csv")
    assert (torn["file"], torn["score"], torn["percentile"]) == ("cat/torn.png", "", "")
    assert "not a readable image" in torn["error"]
    percentiles = [float(row["percentile"]) for row in rows]
    assert percentiles == sorted(percentiles)
    expected = scores_of(np.stack(list(photos.values())))
    by_file = dict(zip(photos, expected, strict=True))
    for row in rows:
        assert float(row["score"]) == by_file[row["file"]][0]
        assert row["likeliest"] == CLASSES[by_file[row["file"]][1:].argmax()]
        assert (row["class"], row["error"]) == ("", "")
    with Image.open("there.sheet.png") as picture:
        assert picture.mode == "RGB"
    done = run_command("score", "photos", "here.csv", "--bundle", models / "tiny-classifier" / "1")
    assert done.returncode == 0, done.stderr
    assert rows_of("here.csv") == rows_of("there.csv")


def test_folders_may_be_classes(models: Path, photos: dict[str, Images], run_command: RunCommand) -> None:
    bundle = models / "tiny-classifier" / "1"
    done = run_command("score", "photos", "scores.csv", "--class-folders", "--bundle", bundle)
    assert done.returncode == 0, done.stderr
    _, *rows = rows_of("scores.csv")
    expected = dict(zip(photos, scores_of(np.stack(list(photos.values()))), strict=True))
    num_others = 0
    for row in rows:
        own = row["file"].split("/")[0]
        assert row["class"] == own
        assert float(row["score"]) == expected[row["file"]][1 + CLASSES.index(own)]
        num_others += row["likeliest"] != own
    assert f"{num_others} images more like another class than like that of their folder" in done.stdout


@pytest.mark.usefixtures("photos")
def test_a_scorer_without_percentiles_orders_by_its_numbers(models: Path, run_command: RunCommand) -> None:
    done = run_command("score", "photos/dog", "scores.csv", "--bundle", models / "plain" / "1")
    assert done.returncode == 0, done.stderr
    rows = rows_of("scores.csv")
    assert [row["percentile"] for row in rows] == [""] * 4
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores)
    assert "percentile" not in done.stdout


@pytest.mark.usefixtures("photos")
def test_one_image_and_images_of_other_sizes(models: Path, run_command: RunCommand) -> None:
    Image.fromarray(sample_textures(1, 0, 1, (40, 21, 1))[0, ..., 0]).save("large.webp")
    done = run_command("score", "large.webp", "scores.csv", "--bundle", models / "tiny-classifier" / "1")
    assert done.returncode == 0, done.stderr
    assert [row["file"] for row in rows_of("scores.csv")] == ["large.webp"]


@pytest.mark.usefixtures("photos")
def test_files_of_which_none_can_be_read_are_an_error(models: Path, run_command: RunCommand) -> None:
    done = run_command("score", "photos/cat/torn.png", "scores.csv", "--bundle", models / "tiny-classifier" / "1")
    assert done.returncode == 3
    assert "none of 1 file could be read; these 40 bytes are not a readable image" in done.stderr
    assert not Path("scores.csv").exists()


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("words", "bundle", "text"),
    [
        (("photos", "scores.txt"), "tiny-classifier", "scores.txt: name the table .csv"),
        (("photos", "photos/scores.csv"), "tiny-classifier", "would lie among the images that are scored"),
        (("nowhere", "scores.csv"), "tiny-classifier", "nowhere: there is no such file or folder"),
        (("photos", "scores.csv"), "tiny", "this model is a generator; give the name of a scorer"),
        (("photos", "scores.csv"), "blur2x", "this model is a translator; give the name of a scorer"),
        (("photos/dog", "scores.csv", "--class-folders"), "tiny-classifier", "lies in no folder of a class"),
        (("photos", "scores.csv", "--class-folders"), "plain", "the scorer knows no class"),
    ],
)
def test_what_cannot_be_scored_is_one_line(
    words: tuple[str, ...], bundle: str, text: str, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", *words, "--bundle", str(models / bundle / "1")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert text in said.err
    assert said.err.count("\n") == 1
    assert not Path("scores.csv").exists()


def test_generate_chooses_transforms_and_makes_again(
    models: Path, server: ServerProcess, tmp_path: Path, run_command: RunCommand
) -> None:
    flags = ("--best-of", "4", "--then", "blur2x", "--seed", "7")
    at_server = ("--server", server.address, "--model", "tiny")
    done = run_command("generate", *at_server, "-n", "6", *flags, "--out", tmp_path / "there")
    assert done.returncode == 0, done.stderr
    done = run_command("generate", "--bundle", models / "tiny" / "1", "-n", "6", *flags, "--out", tmp_path / "here")
    assert done.returncode == 0, done.stderr
    here, there = (
        {path.name: path.read_bytes() for path in (tmp_path / name).glob("*.png")} for name in ("here", "there")
    )
    assert here == there
    assert len(here) == 6
    with LocalGenerator(models / "tiny" / "1") as source:
        expected = source.generate(6, seed=7, best_of=4, then="blur2x")
    with Image.open(tmp_path / "here" / "7-000002.png") as picture:
        assert np.array_equal(np.asarray(picture), expected[2])
    told = json.loads((tmp_path / "here" / "samples.json").read_text())
    assert (told["best_of"], told["scorer"].partition("@")[0]) == (4, "tiny-classifier:1")
    assert told["then"] == [f"blur2x:1@{expected.then[0].digest}"]
    address = address_of(tmp_path / "here" / "7-000002.png")
    assert (address.best_of, address.scorer, address.then) == (4, told["scorer"], told["then"])
    done = run_command(
        "generate",
        "--server",
        server.address,
        "--like",
        tmp_path / "here" / "7-000002.png",
        "--out",
        tmp_path / "again",
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again" / "7-000002.png").read_bytes() == here["7-000002.png"]


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--best-of", "1"), "best_of is 1"),
        (("--scorer", "tiny-classifier"), "give best_of too"),
        (("--best-of", "2", "--scorer", "nobody"), "nobody"),
        (("--then", "tiny"), "tiny is a generator; give translators"),
        (("--like", "sample.png", "--best-of", "2"), "--like"),
    ],
)
def test_what_generate_cannot_chain_is_told(
    flags: tuple[str, ...],
    text: str,
    models: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with LocalGenerator(models / "tiny" / "1") as source:
        source.generate(1, seed=1).save("one")
    next(Path("one").rglob("*.png")).rename("sample.png")
    assert main(["generate", "--bundle", str(models / "tiny" / "1"), *flags, "--out", "out"]) > 0
    assert text in capsys.readouterr().err
    assert not Path("out").exists()


def test_a_dump_is_the_same_bytes_and_pins_its_models(
    models: Path, server: ServerProcess, tmp_path: Path, tiny_parity: Parity
) -> None:
    flags = ["--best-of", "3", "--then", "blur2x", "-n", "10", "--seed", "4", "--format", "zip", "--shards", "2"]
    bundle = ["--bundle", str(models / "tiny" / "1")]
    assert main(["dump", *bundle, *flags, "--out", str(tmp_path / "a")]) == 0
    assert main(["dump", "--server", server.address, "--model", "tiny", *flags, "--out", str(tmp_path / "b")]) == 0
    first, second = (
        {path.name: path.read_bytes() for path in sorted((tmp_path / name).iterdir())} for name in ("a", "b")
    )
    assert first == second
    with LocalGenerator(models / "tiny" / "1") as source:
        made = source.generate(1, seed=4, best_of=3, then="blur2x")
    query = json.loads(first["dump.json"])["plan"]["query"]
    assert made.scorer is not None
    assert query["best_of"]["scorer"]["digest"] == made.scorer.digest
    assert [model["digest"] for model in query["then"]] == [made.then[0].digest]
    others = tmp_path / "others"
    shutil.copytree(models / "tiny", others / "tiny")
    shutil.copytree(models / "blur2x", others / "blur2x")
    make_scorer(others, tiny_parity, version=2)
    before = dict(first)
    assert main(["dump", "--bundle", str(others / "tiny" / "1"), *flags, "--out", str(tmp_path / "a")]) != 0
    assert {path.name: path.read_bytes() for path in sorted((tmp_path / "a").iterdir())} == before


def test_the_models_of_a_server_are_told_in_a_line_each(server: ServerProcess, run_command: RunCommand) -> None:
    done = run_command("models", "--server", server.address)
    assert done.returncode == 0, done.stderr
    assert "6×5×3 → 4 scores" in done.stdout
    done = run_command("models", "--server", server.address, "--model", "tiny-classifier")
    assert "realness, cat, dog, emu" in done.stdout
    with Client(server.address, model="tiny-classifier") as client:
        assert "6×5×3 → 4 scores" in repr(client.get_model())
