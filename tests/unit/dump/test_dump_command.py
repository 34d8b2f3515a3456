"""`ganserve dump`, through the command's own entry."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pty
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ganserve.cli import main
from ganserve.client import LocalGenerator
from ganserve.dump import make_plan, write_dump

from ...warm import start_command
from .conftest import content

Dump = Callable[..., int]


@pytest.fixture
def dump(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dump:
    """Runs the command beside an empty folder and returns its exit code."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: main(["dump", "--bundle", str(bundle), *map(str, words)])


def test_it_tells_what_was_written(dump: Dump, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("-n", 20, "--format", "zip", "--shards", 2, "--out", "more/")
    assert dump(*words) == 0
    said = capsys.readouterr()
    digest = hashlib.sha256(Path("more/dump.json").read_bytes()).hexdigest()
    assert said.err == ""
    assert said.out.startswith("more: 20 samples of tiny:1@")
    assert ", seed 0, in 2 zip shards, 0.0 MB, " in said.out
    assert said.out.endswith(f" images/s; SHA-256 of dump.json {digest}\n")
    before = content(Path("more"))
    assert dump(*words) == 0
    assert f"all of it there already; SHA-256 of dump.json {digest}" in capsys.readouterr().out
    assert content(Path("more")) == before


def test_a_job_array_and_the_command_that_finishes_it(
    dump: Dump, source: LocalGenerator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dump(make_plan(source, 20, format="folder", num_shards=4, seed=9), source, tmp_path / "reference")
    words = ("-n", 20, "--format", "folder", "--seed", 9, "--out", "more")
    for task in range(4):
        assert dump(*words, "--shard", f"{task}/4") == 0
    assert "in 1 of 4 folder shards" in capsys.readouterr().out
    assert not Path("more/labels.csv").exists()
    assert dump(*words) == 0
    assert "in 4 folder shards" in capsys.readouterr().out
    assert content(Path("more")) == content(tmp_path / "reference")


def test_a_task_may_have_several_shards(dump: Dump) -> None:
    assert dump("-n", 20, "--format", "npz", "--shards", 5, "--shard", "1/2", "--out", "more") == 0
    assert sorted(path.name for path in Path("more").glob("*.npz")) == [
        "samples-00001-of-00005.npz",
        "samples-00003-of-00005.npz",
    ]


@pytest.mark.parametrize("format", ["folder", "zip", "webdataset", "parquet", "npz"])
def test_what_is_no_part_of_the_dump_is_told(
    dump: Dump,
    format: str,  # noqa: A002
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("-n", 6, "--format", format, "--shards", 2, "--out", "more")
    assert dump(*words) == 0
    assert capsys.readouterr().err == ""
    Path("more/emu").mkdir(exist_ok=True)
    for name in ("emu/mine.png", "samples-00000-of-00009.zip", ".hidden"):
        (Path("more") / name).write_text("")
    assert dump(*words) == 0
    said = capsys.readouterr()
    assert "all of it there already" in said.out
    assert said.err == (
        "ganserve: warning: more holds emu/mine.png and 1 more, no part of the dump; what reads the folder may read "
        "that too\n"
    )


@pytest.mark.parametrize("format", ["folder", "zip", "webdataset", "parquet"])
def test_counts_and_an_image_format(dump: Dump, format: str) -> None:  # noqa: A002
    assert dump("--counts", "dog=3,0=2", "--format", format, "--images", "webp", "--out", "more") == 0


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--format", "zip", "--out", "a"], 2, "give -n, the number of samples, or --counts"),
        (["-n", "4", "--counts", "dog=1", "--format", "zip", "--out", "a"], 2, "leave -n out"),
        (["-n", "4", "--format", "tar", "--out", "a"], 2, "tar"),
        (["-n", "4", "--out", "a"], 2, "--format"),
        (["-n", "4", "--format", "zip"], 2, "--out"),
        (["-n", "4", "--format", "zip", "--out", "a", "--shard", "4/4"], 2, "K from 0 to N - 1"),
        (["-n", "4", "--format", "zip", "--out", "a", "--shard", "one"], 2, "give K/N"),
        (["-n", "4", "--format", "zip", "--out", "a", "--shards", "2", "--shard", "2/3"], 2, "the dump has 2 shards"),
        (["-n", "4", "--format", "zip", "--out", "a", "--shards", "5"], 2, "4 samples can be divided into 1 to 4"),
        (["-n", "4", "--format", "zip", "--out", "a", "--images", "raw"], 2, "zip holds images as png or webp"),
        (["-n", "0", "--format", "zip", "--out", "a"], 2, "n is 0"),
        (["-n", "4", "--format", "zip", "--out", "a", "--seed=-1"], 2, "seed is -1"),
        (["-n", "4", "--format", "zip", "--out", ""], 2, "an empty text names no file or folder"),
        (["-n", "4", "--format", "zip", "--out", "a", "--labels", "cow"], 2, "there is no class 'cow'"),
        (["-n", "4", "--format", "zip", "--out", "taken"], 2, "taken is a file"),
        (["-n", "4", "--format", "zip", "--out", "."], 2, "holds taken and no dump"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    dump: Dump, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, says: str
) -> None:
    (tmp_path / "taken").write_text("")
    assert dump(*words) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("ganserve: error: ")
    assert says in said.err
    assert said.err.count("\n") == 1
    assert list(content(tmp_path)) == ["taken"]


def test_people_see_how_far_it_is(bundle: Path, tmp_path: Path) -> None:
    """On a terminal: samples, rate, size and time left."""
    words = ["dump", "--bundle", str(bundle), "-n", "30000", "--format", "zip", "--out", str(tmp_path / "more")]
    controller, terminal = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    with start_command(words, stderr=terminal, env=environment) as process:
        os.close(terminal)
        seen = b""
        with contextlib.suppress(OSError):  # which is how a terminal's end is told
            while part := os.read(controller, 4096):
                seen += part
        os.close(controller)
        assert process.wait(60) == 0
    assert re.search(
        rb"\d+/30000 .*samples .*[\d,]+/s .*\d+ MB .*\d:\d\d:\d\d", re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", seen)
    )
