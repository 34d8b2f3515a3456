"""The lines that docs/exporting.md prints."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "exporting.md"


def test_a_bundle_makes_its_golden_samples_in_plain_onnxruntime(models: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    code = next(block for block in blocks if "InferenceSession" in block)
    shutil.copytree(models / "digits" / "1", tmp_path / "models" / "mnist" / "1")
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
