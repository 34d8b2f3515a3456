"""Who may have the folder of a run, and what a start that failed leaves of it."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ganserve.cli import main
from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.training import TrainingConfig, resume_training, training_from_config
from ganserve.training.rundir import RunDir

from ...warm import WarmProcess, file_limit, run_command

MakeConfig = Callable[..., TrainingConfig]

TINY = shlex.split("--batch-size 4 --latent-dim 8 --base-width 4 --device cpu --evaluate-every 0 --steps 2")


def hold(run: Path) -> None:
    with RunDir(run).locked():
        print("held", flush=True)
        signal.pause()


@contextmanager
def holder_of(run: Path) -> Iterator[WarmProcess]:
    """Another process that holds the lock of a run's folder."""
    reader, writer = os.pipe()
    with os.fdopen(reader) as said, WarmProcess(hold, run, stdout=writer) as process:
        os.close(writer)
        assert said.readline() == "held\n"
        yield process


@pytest.fixture
def run(make_config: MakeConfig) -> Path:
    """A run of two steps."""
    return training_from_config(make_config()).run_dir


def test_a_run_that_trains_elsewhere_is_not_resumed(run: Path) -> None:
    with holder_of(run) as process, pytest.raises(ConfigError) as error:
        resume_training(run, steps=3)
    assert re.fullmatch(
        f"{re.escape(str(run))}: process {process.pid} on .+ trains in this folder; wait until it ends, or stop it",
        str(error.value),
    )


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_lock_ends_with_its_process(run: Path) -> None:
    with holder_of(run) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert resume_training(run, steps=3).steps == 3
    assert resume_training(run, steps=4).steps == 4


def test_two_new_runs_in_one_folder_are_one(tmp_path: Path, make_config: MakeConfig) -> None:
    (tmp_path / "run").mkdir()
    with holder_of(tmp_path / "run"), pytest.raises(ConfigError, match="trains in this folder"):
        training_from_config(make_config())


def test_a_run_that_trains_can_be_read(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with holder_of(run):
        assert main(["train", "--preset", str(run / "config.json"), "--out", str(run / "new"), "--dry-run"]) == 0
    assert "generator" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
@pytest.mark.parametrize("num_blocks", [1, 2], ids=["at the config", "at the first checkpoint"])
def test_a_disk_that_is_full_at_the_start_leaves_a_folder_to_start_in(tmp_path: Path, num_blocks: int) -> None:
    run = tmp_path / "My Photos"
    train = ["train", "--data", "digits", "--out", str(run), *TINY]
    failed = run_command(train, 60, preexec_fn=file_limit(num_blocks * 1024))
    assert failed.returncode == 3, failed.stderr
    assert re.fullmatch(r"ganserve: error: .*My Photos.* cannot be written.*\n", failed.stderr)
    assert main(train) == 0
    assert RunDir(run).checkpoint().is_file()


def test_a_start_that_failed_is_told_how_to_start_again(
    tmp_path: Path, make_config: MakeConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "My Photos"
    with RunDir.started(make_config(out=run)):
        pass
    with pytest.raises(ArtifactError, match="stopped before its first checkpoint, so there is nothing") as error:
        resume_training(run)
    command = str(error.value).partition("start it again with: ")[2]
    assert main(shlex.split(command)[1:]) == 0
    assert RunDir(run).checkpoint().is_file()
    with pytest.raises(
        ConfigError, match=re.escape(f"continue its run: ganserve train --resume {shlex.quote(str(run))}")
    ):
        RunDir(run).check_free()
    capsys.readouterr()


@pytest.mark.parametrize("name", ["thesis.tex", "checkpoints/best.safetensors", "config.json"])
def test_files_that_no_start_leaves_are_not_taken_for_one(tmp_path: Path, make_config: MakeConfig, name: str) -> None:
    path = tmp_path / "run" / name
    path.parent.mkdir(parents=True)
    path.write_text('{"data": "mine"}')
    with pytest.raises(ConfigError, match=r"that folder is not empty; give a new one$"):
        training_from_config(make_config())
    assert path.read_text() == '{"data": "mine"}'


def test_a_run_of_another_version_is_refused_with_one_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = run / "config.json"
    config.write_text(config.read_text().replace("discriminator_norm", "critic_norm").replace("resize_mode", "fit"))
    assert main(["train", "--resume", str(run), "--steps", "3"]) == 3
    assert capsys.readouterr().err == (
        f"ganserve: error: {config}: its settings are not those of this version of ganserve (it sets critic_norm, "
        "fit); evaluate, export or resume that run with the version that began it, or train a new one\n"
    )
