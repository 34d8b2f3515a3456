"""Every preset goes the whole way to a bundle, in both arithmetics."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganserve.cli import main
from ganserve.runtime.inspection import inspect_bundle
from ganserve.training.presets import preset_names


@pytest.mark.parametrize("preset", preset_names())
def test_a_preset_is_trained_exported_inspected_and_measured(
    preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, models = str(tmp_path / "run"), str(tmp_path / "models")
    small = ("--steps", "2", "--batch-size", "4", "--base-width", "4", "--evaluate-every", "0")
    assert main(["train", "--preset", preset, "--data", "digits", "--out", run, *small]) == 0
    for version, dtype in enumerate(("fp32", "fp16"), start=1):
        assert main(["export", run, "--onnx", "--models", models, "--name", preset, "--dtype", dtype]) == 0
        bundle = tmp_path / "models" / preset / str(version)
        assert inspect_bundle(bundle).manifest.parity.dtype == dtype
        assert main(["inspect", str(bundle)]) == 0
    quick = ("--rounds", "1", "--seconds", "0.001", "--batch-size", "2", "--lanes", "1")
    assert main(["bench", "model", str(bundle), *quick]) == 0
    assert "over PyTorch" in capsys.readouterr().out
