"""Whatever happens while a dump is written, running it again gives the same bytes, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from ganserve.client import LocalGenerator
from ganserve.contract.errors import ArtifactError
from ganserve.dump import make_plan, write_dump, write_shard

from ...warm import start_command
from .conftest import content

FORMATS = ("folder", "zip", "webdataset", "parquet", "npz")
TROUBLED = Path(__file__).with_name("troubled.py")


def reference(source: LocalGenerator, folder: Path, n: int, format: str, num_shards: int) -> dict[str, bytes]:  # noqa: A002
    write_dump(make_plan(source, n, format=format, num_shards=num_shards), source, folder)
    return content(folder)


def run_troubled(trouble: str, top: Path, *words: str | Path) -> list[int]:
    top.mkdir()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "ignore", str(TROUBLED), trouble, str(top), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    codes: list[int] = json.loads(done.stdout)
    return codes


@pytest.mark.parametrize("trouble", ["kill", "full"])
@pytest.mark.parametrize("format", ["folder", "zip"])
def test_any_moment_is_a_good_one_to_die(
    source: LocalGenerator,
    bundle: Path,
    tmp_path: Path,
    format: str,  # noqa: A002
    trouble: str,
) -> None:
    """Every change of the file system in turn is the one before which the process dies, or the disk is full."""
    expected = reference(source, tmp_path / "reference", 2, format, 2)
    words = ("dump", "--bundle", bundle, "-n", "2", "--format", format, "--shards", "2")
    codes = run_troubled(trouble, tmp_path / "troubled", *words)
    assert len(codes) >= 20
    # Where only clearing away fails, that is no error.
    assert set(codes) == ({-9} if trouble == "kill" else {0, 3})
    folders = sorted(path for path in (tmp_path / "troubled").iterdir() if path.is_dir())
    assert len(folders) == len(codes) + 1
    for folder in folders:
        assert content(folder) == expected


@pytest.mark.parametrize("format", FORMATS)
def test_a_disk_that_fills_up(source: LocalGenerator, bundle: Path, tmp_path: Path, format: str) -> None:  # noqa: A002
    expected = reference(source, tmp_path / "reference", 120, format, 3)
    words = ("dump", "--bundle", bundle, "-n", "120", "--format", format, "--shards", "3")
    assert run_troubled("limit", tmp_path / "troubled", *words) == [3]
    said = (tmp_path / "troubled" / "0.log").read_text()
    error, done = said.splitlines()
    assert error.startswith("ganserve: error: ")
    assert "cannot be written: File too large; shards that are done stay, and the same call goes on" in error
    assert "120 samples" in done
    assert content(tmp_path / "troubled" / "0") == expected


@pytest.mark.parametrize("format", FORMATS)
def test_any_number_of_processes_gives_the_same_bytes(
    source: LocalGenerator,
    bundle: Path,
    tmp_path: Path,
    format: str,  # noqa: A002
) -> None:
    """Three at once that all write everything, as a job array that was started twice does."""
    expected = reference(source, tmp_path / "reference", 40, format, 5)
    words = ["dump", "--bundle", bundle, "-n", "40", "--format", format, "--shards", "5", "--out", tmp_path / "more"]
    with ExitStack() as ends:
        running = [ends.enter_context(start_command(list(map(str, words)))) for _ in range(3)]
        ended = [(process.communicate(timeout=120)[1], process.returncode) for process in running]
    assert ended == [("", 0)] * 3
    assert content(tmp_path / "more") == expected


@pytest.mark.parametrize("format", FORMATS)
def test_threads_that_write_the_same_shards(source: LocalGenerator, tmp_path: Path, format: str) -> None:  # noqa: A002
    expected = reference(source, tmp_path / "reference", 30, format, 3)
    plan = make_plan(source, 30, format=format, num_shards=3)
    digests = []
    writers = [
        threading.Thread(target=lambda: digests.append(write_dump(plan, source, tmp_path / "more"))) for _ in range(4)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(set(digests)) == 1
    assert len(digests) == 4
    assert content(tmp_path / "more") == expected


@pytest.mark.parametrize("format", FORMATS)
def test_shards_that_were_written_elsewhere_come_together(
    source: LocalGenerator,
    tmp_path: Path,
    format: str,  # noqa: A002
) -> None:
    expected = reference(source, tmp_path / "reference", 30, format, 4)
    plan = make_plan(source, 30, format=format, num_shards=4)
    for machine in range(2):
        for shard in range(machine, 4, 2):
            write_shard(plan, shard, source, tmp_path / f"machine-{machine}")
        shutil.copytree(tmp_path / f"machine-{machine}", tmp_path / "more", dirs_exist_ok=True)
    made: list[int] = []
    write_dump(plan, source, tmp_path / "more", Counted(made))
    assert made == []
    assert content(tmp_path / "more") == expected


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("fault", ["altered", "cut", "gone"])
def test_a_shard_that_is_not_right_is_written_again(
    source: LocalGenerator,
    tmp_path: Path,
    format: str,  # noqa: A002
    fault: str,
) -> None:
    expected = reference(source, tmp_path / "more", 20, format, 2)
    path = next((tmp_path / "more").glob("samples-00001-*"))
    if format == "folder":
        path = next((tmp_path / "more" / "dog").iterdir())
    data = path.read_bytes()
    path.unlink() if fault == "gone" else path.write_bytes(data[:-9] + (b"?" * 9 if fault == "altered" else b""))
    made: list[int] = []
    write_dump(make_plan(source, 20, format=format, num_shards=2), source, tmp_path / "more", Counted(made))
    assert sum(made) == 10
    assert content(tmp_path / "more") == expected


def test_what_is_there_and_right_is_not_made_again(source: LocalGenerator, tmp_path: Path) -> None:
    plan = make_plan(source, 20, format="zip", num_shards=2)
    made: list[int] = []
    write_shard(plan, 1, source, tmp_path / "more", Counted(made))
    write_dump(plan, source, tmp_path / "more", Counted(made))
    write_dump(plan, source, tmp_path / "more", Counted(made))
    assert sum(made) == 20


def test_a_folder_that_cannot_be_written(source: LocalGenerator, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    plan = make_plan(source, 2, format="zip")
    with pytest.raises(ArtifactError, match="cannot be written"):
        write_dump(plan, source, tmp_path / "file" / "more")


class Counted:
    """Notes how many samples were made."""

    def __init__(self, made: list[int]) -> None:
        self._made = made

    def advance(self, num_samples: int, num_bytes: int) -> None:  # noqa: ARG002
        self._made.append(num_samples)

    def skip(self, num_samples: int) -> None:
        pass
