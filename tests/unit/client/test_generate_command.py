"""`ganserve generate`, through the command's own entry."""

from __future__ import annotations

import csv
import json
import threading
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from ganserve.cli import main
from ganserve.client._calls import backoff
from ganserve.client.formats.xmp import find_recipe, mark
from ganserve.contract.images import cut_grid, encode, make_contact_sheet
from ganserve.v1.generator_pb2 import (
    GetModelRequest,
    GetModelResponse,
    ImageEncoding,
    ImageFormat,
    StreamSamplesRequest,
)

from .scripted import CHANNELS, HEIGHT, UNAVAILABLE, WIDTH, Failure, Script, ScriptedServer, image_values


@pytest.fixture
def generate(server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command beside an empty folder and returns its exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(backoff, "_FIRST_PAUSE_S", 0.001)
    return lambda *words: main(["generate", "--server", server.address, "--model", "digits", *map(str, words)])


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_grid(generate: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate("-n", 6, "--seed", 7, "--out", "grid.png", "--columns", 3) == 0
    with Image.open("grid.png") as picture:
        grid = np.asarray(picture)[..., None]
    images = np.broadcast_to(np.arange(7, 13, dtype=np.uint8).reshape(6, 1, 1, 1), (6, HEIGHT, WIDTH, CHANNELS))
    sheet = make_contact_sheet(images, 3)
    plain = encode(sheet, ImageEncoding(format=ImageFormat.IMAGE_FORMAT_PNG))
    recipe = {"model": "digits:2", "digest": "ab" * 32, "seed": 7, "n": 6, "first_index": 0}
    assert Path("grid.png").read_bytes() == mark(plain, recipe=json.dumps(recipe))
    assert grid.shape == sheet.shape
    factor = grid.shape[0] // (2 * HEIGHT + 2)
    tiles = cut_grid(grid[::factor, ::factor], 6, HEIGHT, WIDTH)
    assert (tiles == np.arange(7, 13).reshape(6, 1, 1, 1)).all()
    assert files_in(tmp_path) == ["grid.png"]
    said = capsys.readouterr()
    first, second = said.out.splitlines()
    assert first.startswith("grid.png: 6 samples of digits:2@abababababab, seed 7, ")
    assert first.endswith(" images/s")
    assert second == "columns: two, zero, one"
    assert said.err == ""


@pytest.mark.parametrize(("name", "format"), [("a.jpg", "JPEG"), ("a.jpeg", "JPEG"), ("new/a.webp", "WEBP")])
def test_a_grid_takes_its_format_from_the_name(generate: Any, name: str, format: str) -> None:  # noqa: A002
    assert generate("--out", name, "--quality", 80) == 0
    with Image.open(name) as picture:
        assert picture.format == format
        xmp = picture.info["xmp"]
    assert b"trainedAlgorithmicMedia" in xmp
    assert '"n": 64' in (find_recipe(Path(name).read_bytes()) or "")


def test_a_grid_of_many_labels_still_fits_a_jpeg(generate: Any) -> None:
    labels = ",".join(["two"] * 5000)
    assert generate("--labels", labels, "-n", 4, "--seed", 7, "--out", "a.jpg") == 0
    recipe = {"model": "digits:2", "digest": "ab" * 32, "seed": 7}
    assert json.loads(find_recipe(Path("a.jpg").read_bytes()) or "") == recipe


def test_arrays(generate: Any, script: Script) -> None:
    assert generate("-n", 9, "--seed", 2**64 - 1, "--first-index", 5, "--labels", "uniform", "--out", "a.npz") == 0
    with np.load("a.npz") as arrays:
        assert image_values(arrays["images"]) == [(2**64 - 1 + i) % 256 for i in range(5, 14)]
        assert arrays["indices"].tolist() == list(range(5, 14))
        assert arrays["labels"].shape == (9,)
        assert arrays["class_names"].tolist() == ["zero", "one", "two"]
        assert arrays["seed"] == 2**64 - 1
        assert arrays["digest"] == script.digest


def test_a_folder(generate: Any, script: Script) -> None:
    assert (
        generate(
            "-n", 10, "--seed", 7, "--labels", "0,1,two", "--truncation", 1.5, "--spread", 1.25, "--out", "samples/"
        )
        == 0
    )
    names = [f"7-{i:06d}.png" for i in range(10)]
    assert files_in(Path("samples")) == [*names, "labels.csv", "samples.json"]
    for i, name in enumerate(names):
        with Image.open(Path("samples") / name) as picture:
            assert picture.getextrema() == (7 + i, 7 + i)
    with Path("samples/labels.csv").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    assert rows[4] == {"file": "7-000004.png", "label": "1", "class": "one"}
    assert [row["file"] for row in rows] == names
    assert json.loads(Path("samples/samples.json").read_text(encoding="utf-8")) == {
        "model": {"name": "digits", "version": 2, "digest": script.digest},
        "seed": 7,
        "n": 10,
        "first_index": 0,
        "labels": "0,1,two",
        "counts": None,
        "truncation": 1.5,
        "spread": 1.25,
        "best_of": None,
        "scorer": None,
        "then": None,
        "format": "png",
        "quality": None,
    }


@pytest.mark.parametrize("out", ["samples", "there"])
def test_a_folder_needs_no_slash(generate: Any, out: str) -> None:
    Path("there").mkdir()
    assert generate("-n", 1, "--seed", 1, "--format", "jpeg", "--quality", 50, "--out", out) == 0
    assert "1-000000.jpg" in files_in(Path(out))


def test_class_folders(generate: Any, script: Script) -> None:
    script.class_names = ("cat/dog", "Cat_dog", "labels.csv", "..", "猫")
    assert generate("--counts", "0=2,1=1,2=1,3=1,猫=1", "--seed", 7, "--out", "samples/", "--class-folders") == 0
    table = Path("samples/labels.csv").read_text(encoding="utf-8")
    assert list(csv.reader(table.splitlines())) == [
        ["file", "label", "class"],
        ["cat_dog/7-000000.png", "0", "cat/dog"],
        ["cat_dog/7-000001.png", "0", "cat/dog"],
        ["Cat_dog-1/7-000002.png", "1", "Cat_dog"],
        ["labels.csv-2/7-000003.png", "2", "labels.csv"],
        ["-3/7-000004.png", "3", ".."],
        ["猫/7-000005.png", "4", "猫"],
    ]
    for row in csv.DictReader(table.splitlines()):
        assert (Path("samples") / row["file"]).is_file()


def test_class_folders_are_replaced_on_demand(generate: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate("-n", 6, "--seed", 1, "--out", "samples/", "--class-folders") == 0
    assert generate("--counts", "two=2", "--seed", 1, "--out", "samples/", "--class-folders", "--overwrite") == 0
    assert files_in(Path("samples")) == ["labels.csv", "samples.json", "two", "two/1-000000.png", "two/1-000001.png"]
    Path("samples/two/notes.txt").write_text("mine")
    assert generate("-n", 6, "--out", "samples/", "--overwrite") == 2
    assert "two/notes.txt, which is no sample" in capsys.readouterr().err


@pytest.mark.parametrize("folder", ["empty", "7-000000.png/empty"])
def test_folders_of_others_are_never_replaced(generate: Any, folder: str) -> None:
    (Path("samples") / folder).mkdir(parents=True)
    assert generate("--out", "samples/", "--overwrite") == 2
    assert (Path("samples") / folder).is_dir()


def test_exact_counts(generate: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate("--counts", "two=7,zero=4", "--seed", 7, "--out", "samples/") == 0
    with Path("samples/labels.csv").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    assert [row["class"] for row in rows] == ["two"] * 7 + ["zero"] * 4
    recipe = json.loads(Path("samples/samples.json").read_text(encoding="utf-8"))
    assert (recipe["n"], recipe["counts"], recipe["labels"]) == (11, "two=7,zero=4", None)
    assert capsys.readouterr().out.splitlines()[1] == "classes: zero (4), two (7)"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["-n", 6, "--labels", "0,1,2"], "columns: zero, one, two"),
        (["--counts", "two=3,zero=3"], "rows: two, zero"),
        (["--counts", "two=5,zero=1"], "classes: zero (1), two (5)"),
        (["-n", 3, "--labels", "0,1,2"], "classes: zero (1), one (1), two (1)"),
        (["-n", 6, "--labels", "one"], "classes: one (6)"),
    ],
)
def test_a_grid_tells_which_class_is_where(
    generate: Any, words: list[Any], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate(*words, "--seed", 7, "--out", "grid.png", "--columns", 3) == 0
    assert capsys.readouterr().out.splitlines()[1] == says


def test_many_classes_are_counted(generate: Any, script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    script.class_names = [f"class {i}" for i in range(40)]
    assert generate("-n", 90, "--seed", 7, "--out", "a.npz") == 0
    assert capsys.readouterr().out.splitlines()[1] == "classes: 40 of 40, 2 to 3 samples each"


def test_captions_are_drawn_when_asked_for(generate: Any, script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate("-n", 4, "--seed", 7, "--out", "plain.png") == 0
    assert generate("-n", 4, "--seed", 7, "--out", "named.png", "--captions") == 0
    with Image.open("plain.png") as plain, Image.open("named.png") as named:
        assert named.height > plain.height
    script.class_names = ()
    for flag, out in (("--captions", "a.png"), ("--class-folders", "samples/")):
        assert generate("--out", out, flag) == 2
        assert f"{flag}: this model is unconditional" in capsys.readouterr().err


def test_numbers_that_can_be_read_in_two_ways_are_explained(
    generate: Any, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    script.class_names = ("1", "2", "3")
    assert generate("-n", 2, "--labels", "1", "--out", "samples/") == 0
    said = capsys.readouterr()
    assert said.err == "ganserve: took 1 for the class named '1' (label 0)\n"
    assert said.out.splitlines()[1] == "classes: 1 (2)"
    assert generate("--counts", "0=2", "--out", "a.npz") == 0
    assert capsys.readouterr().err == "ganserve: took 0 for label 0 (the class named '1')\n"


@pytest.mark.parametrize("command", [["generate", "--out", "a.npz"], ["models"]])
@pytest.mark.usefixtures("generate")
def test_a_model_is_named_as_it_is_printed(
    server: ScriptedServer, script: Script, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*command, "--server", server.address, "--model"]
    for name in ("digits:2", "digits:2@abababababab", f"digits@{script.digest}"):
        assert main([*words, name]) == 0
    capsys.readouterr()
    for name, code, says in (
        ("digits:2@cd", 5, "the server has digits:2@abababababab and not the model @cd"),
        ("digits@", 2, "behind the @"),
        ("digits:X", 2, "such as digits:1"),
    ):
        assert main([*words, name]) == code
        assert says in capsys.readouterr().err


def test_an_unconditional_generator_gives_no_labels(generate: Any, script: Script) -> None:
    script.class_names = ()
    assert generate("-n", 2, "--seed", 1, "--out", "samples/") == 0
    assert "labels.csv" not in files_in(Path("samples"))
    assert generate("-n", 2, "--out", "a.npz") == 0
    with np.load("a.npz") as arrays:
        assert "labels" not in arrays
        assert "class_names" not in arrays


def test_one_sample_is_no_plural(generate: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate("-n", 1, "--seed", 7, "--out", "samples/") == 0
    assert "samples/: 1 sample of digits:2@" in capsys.readouterr().out


def test_a_drawn_seed_is_told(generate: Any, script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate("--out", "a.npz", "-n", 3) == 0
    with np.load("a.npz") as arrays:
        assert f"seed {arrays['seed']} (drawn; --seed {arrays['seed']} gives the same again)" in capsys.readouterr().out
    assert script.asked(StreamSamplesRequest)[0].query.address.seed


def test_a_folder_that_holds_samples_is_kept(generate: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate("-n", 2, "--seed", 1, "--out", "samples/") == 0
    assert generate("-n", 2, "--seed", 2, "--out", "samples/") == 2
    assert (
        "samples is not empty; give another folder, or overwrite=True (on the command line, --overwrite)"
        in capsys.readouterr().err
    )
    assert "1-000000.png" in files_in(Path("samples"))


def test_samples_are_replaced_on_demand(generate: Any, tmp_path: Path) -> None:
    assert generate("-n", 2, "--seed", 1, "--out", "samples/") == 0
    assert generate("-n", 1, "--seed", 2, "--out", "samples/", "--overwrite") == 0
    assert files_in(tmp_path) == ["samples", *(f"samples/{n}" for n in ("2-000000.png", "labels.csv", "samples.json"))]


def test_other_files_are_never_replaced(generate: Any, capsys: pytest.CaptureFixture[str]) -> None:
    Path("home").mkdir()
    Path("home/thesis.txt").write_text("years of work")
    assert generate("--out", "home/", "--overwrite") == 2
    assert "thesis.txt, which is no sample" in capsys.readouterr().err
    assert files_in(Path("home")) == ["thesis.txt"]


@pytest.mark.parametrize("out", ["grid.png", "a.npz", "samples/"])
def test_a_failure_in_the_middle_leaves_nothing(
    generate: Any, script: Script, tmp_path: Path, out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    script.stream.append((2, Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "the queue is full")))
    assert generate("-n", 50, "--out", out) == 5
    assert files_in(tmp_path) == []
    assert capsys.readouterr().err == "ganserve: error: the queue is full\n"


@pytest.mark.parametrize("out", ["grid.png", "samples/"])
def test_ctrl_c_leaves_nothing(
    generate: Any, tmp_path: Path, out: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ganserve.client.cli.generate.short_name", interrupt)
    monkeypatch.setattr("ganserve.client._samples.outputs._Collector.add", interrupt)
    monkeypatch.setattr("ganserve.client.formats.tree.TreeWriter.add", interrupt)
    assert generate("-n", 50, "--out", out) == 130
    assert files_in(tmp_path) == []
    assert capsys.readouterr().err == ""


def test_what_was_there_survives_a_failure(generate: Any, script: Script) -> None:
    assert generate("-n", 2, "--seed", 1, "--out", "samples/") == 0
    script.stream.append((1, Failure(grpc.StatusCode.INTERNAL)))
    assert generate("-n", 50, "--seed", 2, "--out", "samples/", "--overwrite") == 5
    assert "1-000001.png" in files_in(Path("samples"))


def test_a_lost_stream_leaves_no_gap(generate: Any, script: Script) -> None:
    script.stream.extend([(2, UNAVAILABLE), (1, UNAVAILABLE)])
    assert generate("-n", 30, "--seed", 1, "--out", "samples/") == 0
    assert len(files_in(Path("samples"))) == 32


@pytest.mark.parametrize("obeys_pins", [True, False])
def test_a_model_that_changes_after_its_card_was_read(
    generate: Any,
    script: Script,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    obeys_pins: bool,
) -> None:
    served = script.served()
    served.identity.digest = "cd" * 32
    script.obeys_pins = obeys_pins
    monkeypatch.setattr(Script, "GetModel", lambda *_: GetModelResponse(model=served))
    assert generate("--out", "samples/") == 5
    assert ("another digest" if obeys_pins else f"the reply is by the model {'ab' * 32}") in capsys.readouterr().err
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("command", ["generate", "interpolate"])
@pytest.mark.parametrize("n", [9, 40])
def test_one_model_answers_where_two_have_the_name(command: str, n: int, tmp_path: Path) -> None:
    """The names of the classes are read off one card, so no sample may be of the other model."""
    scripts = [Script(class_names=("0", "two", "1")), Script(digest="cd" * 32)]
    servers = [ScriptedServer(script) for script in scripts]
    words = [command, *(word for server in servers for word in ("--server", server.address)), "--model", "digits"]
    words += ["--from", "7:3", "--to", "8:12"] if command == "interpolate" else []
    words += ["--labels", "1", "-n", str(n), "--out", str(tmp_path / "a.png")]
    for _ in range(3):
        for script in scripts:
            script.requests.clear()
        assert main(words) == 0
        requests = [request for script in scripts for request in script.requests]
        queries = [request.query for request in requests if not isinstance(request, GetModelRequest)]
        (digest,) = {query.model.digest for query in queries}
        assert {query.labels.one.name for query in queries} == {"1" if digest == scripts[0].digest else ""}
    for server in servers:
        server.stop()


def test_a_digest_behind_the_name_finds_the_server_that_has_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    servers = [ScriptedServer(Script()), ScriptedServer(Script(digest="cd" * 32))]
    addresses = [word for server in servers for word in ("--server", server.address)]
    for beginning in ("abab", "cdcd"):
        for command in (["generate", "-n", "3", "--out", str(tmp_path / "a.png")], ["models"]):
            assert main([*command, *addresses, "--model", f"digits@{beginning}"]) == 0
            assert f"@{beginning}" in capsys.readouterr().out or command == ["models"]
    for server in servers:
        server.stop()


def test_a_server_that_falls_silent(generate: Any, script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    script.hold = threading.Event()
    assert generate("-n", 50, "--timeout", 0.3, "--out", "a.png") == 5
    assert "no answer within 0.3 s" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--out", "a.png", "-n", "0"], 2, "n is 0; it must be at least 1"),
        (["--out", "a.png", "-n=-1"], 2, "n is -1; it must be at least 1"),
        (["--out", "a.png", "-n", "many"], 2, "many"),
        (["--out", "a.png", "--seed=-1"], 2, "seed is -1"),
        (["--out", "a.png", "--labels", "cat"], 5, "there is no class 'cat'"),
        (["--out", "a.png", "--labels", "7"], 5, "label 7 is not one of 0 to 2"),
        (["--out", "a.png", "--labels=-1"], 2, "the label is -1"),
        (["--out", "a.png", "--labels", "0,,1"], 2, "empty entry"),
        (["--out", "a.png", "--labels", "0=lots"], 2, "no class with its number"),
        (["--out", "a.png", "--labels", "0=0"], 2, "above 0"),
        (["--out", "a.png", "--truncation", "0"], 2, "truncation is 0"),
        (["--out", "a.png", "--spread", "0"], 2, "spread is 0"),
        (["--out", "a.png", "--quality", "80"], 2, "quality goes with jpeg and webp"),
        (["--out", "a.png", "--columns", "0"], 2, "--columns is 0"),
        (["--out", "a.png", "--format", "png"], 2, "--format goes with a folder"),
        (["--out", "a.png", "--format", "gif"], 2, "gif"),
        (["--out", "a.png", "--overwrite"], 2, "--overwrite) goes with a folder"),
        (["--out", "a.png", "--digest", "00" * 32], 5, "another digest"),
        (["--out", "a.png", "--digest", "00"], 2, "digest '00' is no SHA-256; give all 64 digits"),
        (["--out", "a.png", "--version", "0"], 2, "version is 0"),
        (["--out", "a.png", "--timeout", "0"], 2, "--timeout. Give more than 0 and at most 86,400, or inf"),
        (["--out", "a.png", "--class-folders"], 2, "--class-folders goes with a folder"),
        (["--out", "a.npz", "--captions"], 2, "--captions goes with a grid"),
        (["--out", "a.png", "--counts", "two"], 2, "is no class with its number"),
        (["--out", "a.png", "--counts", "cat=1"], 5, "there is no class 'cat'"),
        (["--out", "a.png", "--counts", "one=1", "--labels", "0"], 2, "labels and counts both"),
        (["--out", "a.gif"], 2, ".gif is not a known suffix"),
        (["--out", ""], 2, "names no file or folder"),
        (["--out", "."], 2, "is where you are"),
        (["--out", ".."], 2, "is where you are"),
        (["--out", "a.npz", "--quality", "80"], 2, "--quality goes with images"),
        (["--out", "a.npz", "--columns", "8"], 2, "--columns goes with a grid"),
        (["--out", "samples/", "--columns", "8"], 2, "--columns goes with a grid"),
        (["--out", "samples/", "--quality", "80"], 2, "quality goes with jpeg and webp"),
        (["--out", "taken/a.png"], 3, "taken/a.png cannot be written"),
        (["--out", "taken/"], 2, "taken is a file"),
        ([], 2, "--out"),
        (["--out", "a.png", "--nonsense", "1"], 2, "--nonsense"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    generate: Any,
    script: Script,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    says: str,
) -> None:
    if "--digest" in words:
        script.stream.append((0, Failure(grpc.StatusCode.FAILED_PRECONDITION, "another digest")))
    (tmp_path / "taken").write_text("")
    assert generate(*words) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("ganserve: error: ")
    assert says in said.err
    assert said.err.count("\n") == 1
    assert files_in(tmp_path) == ["taken"]


def test_a_grid_too_large_for_its_format(generate: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate("-n", 4000, "--columns", 4000, "--seed", 1, "--out", "a.webp") == 2
    assert "use .png" in capsys.readouterr().err
    assert files_in(tmp_path) == []


def test_a_grid_of_more_samples_than_people_look_at(
    generate: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate("-n", 100_000_000, "--seed", 1, "--out", "a.png") == 2
    assert "is too large to look at" in capsys.readouterr().err
    assert files_in(tmp_path) == []


def test_counts_say_how_many(generate: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate("-n", 5, "--counts", "two=3", "--out", tmp_path / "grid.png") == 2
    assert "--counts say how many samples there are; leave -n out" in capsys.readouterr().err
