"""A large file is checked by another process, and opened as a file that nobody can change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from ganserve.contract.errors import ArtifactError
from ganserve.runtime.file_check import checked_aside
from ganserve.runtime.lanes import Lanes
from ganserve.runtime.loader import load_model
from ganserve.v1.model_pb2 import ModelCard, Reproducibility

SOURCE = "models/tiny/1/model.onnx"


def enlarge(model: onnx.ModelProto) -> None:
    """Adds 9 MB that are never used."""
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(9 * 2**18, np.float32), "ballast"))


@pytest.fixture
def large_model(tiny_model: onnx.ModelProto) -> onnx.ModelProto:
    model = onnx.ModelProto()
    model.CopyFrom(tiny_model)
    enlarge(model)
    return model


def test_a_small_file_stays_bytes(tiny_model: onnx.ModelProto, tiny_card: ModelCard) -> None:
    data = tiny_model.SerializeToString()
    with checked_aside(data, source=SOURCE) as checked:
        assert checked == (tiny_card, data)


def test_a_large_file_is_one_that_nobody_can_change(large_model: onnx.ModelProto, tiny_card: ModelCard) -> None:
    data = large_model.SerializeToString()
    with checked_aside(data, source=SOURCE) as (card, model):
        assert card == tiny_card
        assert isinstance(model, Path)
        assert model.read_bytes() == data
        with pytest.raises(PermissionError):
            model.write_bytes(b"x")
    assert not model.exists()


def test_what_is_wrong_with_a_large_file_is_told_as_ever(large_model: onnx.ModelProto) -> None:
    large_model.opset_import[0].version = 99
    with (
        pytest.raises(ArtifactError, match=f"{SOURCE} uses opset 99; opsets up to"),
        checked_aside(large_model.SerializeToString(), source=SOURCE),
    ):
        pass


@pytest.mark.parametrize(("script", "told"), [("exit 1", "ended with 1"), ("kill -9 $$", "was killed by signal 9")])
def test_a_checker_that_dies_is_told(
    large_model: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, told: str
) -> None:
    checker = tmp_path / "checker"
    checker.write_text(f"#!/bin/sh\n{script}\n")
    checker.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(checker))
    with (
        pytest.raises(ArtifactError, match=f"the process that checks it {told}"),
        checked_aside(large_model.SerializeToString(), source=SOURCE),
    ):
        pass


def test_a_model_makes_the_same_images_however_it_is_loaded(
    tmp_path: Path, make_bundle: Callable[..., Path], lanes: Lanes
) -> None:
    bundle = make_bundle(tmp_path, change=enlarge)
    for beside_serving in (False, True):
        loaded = load_model(bundle, lanes=lanes, max_batch=4, beside_serving=beside_serving)
        assert loaded.reproducibility == Reproducibility.REPRODUCIBILITY_IDENTICAL
