"""Dumps over real servers, which die, and by a process that is killed, are the bytes of one that had no trouble."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganserve.client import Client, LocalGenerator
from ganserve.dump import make_plan, read_dump, write_dump

from ..servers import RunCommand, ServerProcess, StartServer
from ..warm import run_command, start_command

FORMATS = ("folder", "zip", "webdataset", "parquet", "npz")
TIMEOUT_S = 120


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def bundle(models: Path) -> Path:
    return models / "digits" / "2"


def dump_here(bundle: Path, folder: Path, n: int, format: str, num_shards: int) -> dict[str, bytes]:  # noqa: A002
    with LocalGenerator(bundle, device="cpu") as source:
        write_dump(make_plan(source, n, format=format, num_shards=num_shards), source, folder)
    return content(folder)


@pytest.mark.parametrize("format", FORMATS)
def test_a_server_gives_the_bytes_that_a_bundle_gives(
    bundle: Path,
    server: ServerProcess,
    run_command: RunCommand,
    tmp_path: Path,
    format: str,  # noqa: A002
) -> None:
    expected = dump_here(bundle, tmp_path / "here", 150, format, 2)
    words = ("--server", server.address, "--model", "digits:2", "-n", "150", "--format", format, "--shards", "2")
    done = run_command("dump", *words, "--out", tmp_path / "there")
    assert (done.returncode, done.stderr) == (0, "")
    assert content(tmp_path / "there") == expected


def test_one_of_two_servers_dies(bundle: Path, models: Path, start_server: StartServer, tmp_path: Path) -> None:
    expected = dump_here(bundle, tmp_path / "here", 3000, "zip", 6)
    with start_server(models) as dying, start_server(models) as staying:
        with Client([dying.address, staying.address], model="digits", version=2, timeout_s=60) as client:
            plan = make_plan(client, 3000, format="zip", num_shards=6)
            write_dump(plan, client, tmp_path / "there", KillsAfter(dying, 700))
        assert dying.process.poll() == -signal.SIGKILL
    assert content(tmp_path / "there") == expected


def test_one_of_two_models_of_a_name_makes_the_dump_and_is_named(
    models: Path, start_server: StartServer, run_command: RunCommand, tmp_path: Path
) -> None:
    """Requests go to the servers in turns; the dump, its name and the names of its classes are one model's."""
    for version in ("1", "2"):
        shutil.copytree(models / "digits" / version, tmp_path / version / "digits" / version)
    with start_server(tmp_path / "1") as one, start_server(tmp_path / "2") as other:
        words = ("--server", one.address, "--server", other.address, "--model", "digits", "-n", "20", "--shards", "4")
        for turn in range(4):
            done = run_command("dump", *words, "--format", "npz", "--out", tmp_path / f"dump-{turn}")
            assert (done.returncode, done.stderr) == (0, "")
            model = read_dump(tmp_path / f"dump-{turn}").plan.query.model
            assert f"20 samples of digits:{model.version}@{model.digest[:12]}, " in done.stdout


class KillsAfter:
    """Kills a server when so many samples have come."""

    def __init__(self, server: ServerProcess, num_samples: int) -> None:
        self._server = server
        self._left = num_samples

    def advance(self, num_samples: int, num_bytes: int) -> None:  # noqa: ARG002
        self._left -= num_samples
        if self._left <= 0 and self._server.process.poll() is None:
            self._server.process.kill()
            self._server.process.wait(60)

    def skip(self, num_samples: int) -> None:
        pass


def test_killed_over_and_over_at_random(bundle: Path, tmp_path: Path) -> None:
    expected = dump_here(bundle, tmp_path / "here", 4000, "webdataset", 8)
    words = ["dump", "--bundle", str(bundle), "-n", "4000", "--format", "webdataset", "--shards", "8"]
    command = [*words, "--out", str(tmp_path / "more")]
    pauses = random.Random(0)  # noqa: S311
    for _ in range(4):
        before = set(tmp_path.glob("more/**/*"))
        with start_command(command) as process:
            while set(tmp_path.glob("more/**/*")) == before and process.poll() is None:
                time.sleep(0.01)
            time.sleep(pauses.uniform(0, 0.3))
            process.kill()
    done = run_command(command, TIMEOUT_S)
    assert (done.returncode, done.stderr) == (0, "")
    assert content(tmp_path / "more") == expected


@pytest.fixture
def heard_by_children() -> Iterator[None]:
    """SIGINT reaches processes that are started here, also where the tests run in the background, which ignores it."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.usefixtures("heard_by_children")
def test_an_interruption_by_hand_leaves_what_is_done(bundle: Path, tmp_path: Path, format: str) -> None:  # noqa: A002
    words = ["dump", "--bundle", str(bundle), "-n", "1000000", "--format", format, "--shards", "5000"]
    with start_command([*words, "--out", str(tmp_path / "more")]) as process:
        while len(list((tmp_path / "more").glob("samples-*.json"))) < 2:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=TIMEOUT_S)
        goes_on = "ganserve: interrupted; shards that are done stay, and the same command goes on from there\n"
        assert (*said, process.returncode) == ("", goes_on, 130)
    assert not list((tmp_path / "more").glob(".*.partial"))
    shards = {path.name for path in (tmp_path / "more").glob("samples-*") if path.suffix != ".json"}
    assert {path.stem for path in (tmp_path / "more").glob("samples-*.json")} <= shards


def test_lost_servers_are_told_in_a_line(models: Path, start_server: StartServer, tmp_path: Path) -> None:
    words = ["--model", "digits:2", "-n", "20000", "--format", "parquet", "--shards", "40", "--timeout", "2"]
    more = str(tmp_path / "more")
    with (
        start_server(models) as server,
        start_command(["dump", "--server", server.address, *words, "--out", more]) as process,
    ):
        while len(list((tmp_path / "more").glob("samples-*.json"))) < 2:
            assert process.poll() is None
            time.sleep(0.02)
        server.process.kill()
        errors = process.communicate(timeout=TIMEOUT_S)[1].splitlines()
        assert process.returncode == 5
    assert errors[-1].startswith("ganserve: error: ")
    assert errors[-1].endswith("; shards that are done stay, and the same command goes on from there")
    assert all(line.startswith("ganserve: ") for line in errors)
