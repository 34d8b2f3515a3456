"""Everything that docs/dumps.md prints."""

from __future__ import annotations

import gc
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image

from ganserve.cli import main

DOCUMENT = Path(__file__).parents[3] / "docs" / "dumps.md"
TASK = "$SLURM_ARRAY_TASK_ID"


def commands() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if not line.startswith("#")]
    return [line.replace(TASK, str(task)) for line in lines for task in (range(4) if TASK in line else range(1))]


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # WebDataset leaves them to the collector
def test_every_command_and_snippet_runs(
    pets: Path, run_document: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "models").symlink_to(pets / "models")
    monkeypatch.chdir(tmp_path)
    for command in commands():
        program, *words = shlex.split(command)
        assert program == "ganserve"
        assert main(words) == 0, command
    names = run_document("dumps.md")
    gc.collect()
    assert names["rows"].features["label"].names == ["cat", "dog", "frog"]
    with Image.open("folder/dog/0-000000.png") as picture:
        np.testing.assert_array_equal(names["same"], np.asarray(picture))
    assert Path("one/0-000000.png").read_bytes() == Path("folder/dog/0-000000.png").read_bytes()
    np.testing.assert_array_equal(names["images"], names["pixels"])
    assert names["image"].shape == (32, 32, 3)
    for path in Path("again").iterdir():
        assert path.read_bytes() == (Path("more") / path.name).read_bytes()
