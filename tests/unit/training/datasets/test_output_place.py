"""What a run writes never becomes images of its source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ganserve.cli import main
from ganserve.contract.errors import ConfigError
from ganserve.training import TrainingConfig
from ganserve.training.run import resume_training, training_from_config

MakeConfig = Callable[..., TrainingConfig]


@pytest.mark.parametrize("out", ["animals", "animals/run", "animals/cat/run", "link/run", "other/../animals/run"])
@pytest.mark.parametrize("data", ["animals", "link"])
def test_a_run_inside_of_its_images_is_refused(
    folder: Path, tmp_path: Path, make_config: MakeConfig, out: str, data: str
) -> None:
    (tmp_path / "link").symlink_to(folder)
    before = sorted(folder.rglob("*"))
    with pytest.raises(ConfigError, match=r"--out .*: lies in .*, whose images it would become; give a place outside"):
        training_from_config(make_config(data=str(tmp_path / data), out=tmp_path / out))
    assert sorted(folder.rglob("*")) == before


def test_a_run_beside_its_images_is_not(folder: Path, tmp_path: Path, make_config: MakeConfig) -> None:
    out = tmp_path / "animals-run"
    training_from_config(make_config(data=str(folder), out=out))
    moved = tmp_path / "moved"
    folder.rename(moved)
    with pytest.raises(ConfigError, match=r"--resume .*lies in"):
        resume_training(out, steps=3, data=str(tmp_path))
    assert resume_training(out, steps=3, data=str(moved)).steps == 3


@pytest.mark.parametrize(("data", "exit_code"), [("animals", 2), ("animals/nowhere", 3), ("animals/notes.txt", 3)])
def test_a_dry_run_refuses_what_the_run_does_and_shows_nothing_first(
    folder: Path, capsys: pytest.CaptureFixture[str], data: str, exit_code: int
) -> None:
    out = folder / "run" if data == "animals" else folder.parent / "run"
    (folder / "notes.txt").write_text("no images")
    for last in ([], ["--dry-run"]):
        assert main(["train", "--data", str(folder.parent / data), "--out", str(out), *last]) == exit_code
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.count("\n") == 1
