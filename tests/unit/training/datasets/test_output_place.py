"""What a run writes never becomes images of its source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

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
