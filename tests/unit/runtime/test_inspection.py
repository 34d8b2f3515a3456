from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ganserve.cli import main
from ganserve.contract.errors import ArtifactError
from ganserve.runtime.inspection import inspect_bundle
from ganserve.v1.model_pb2 import ModelCard


@pytest.fixture
def bundle(tmp_path: Path, make_bundle: Callable[..., Path]) -> Path:
    return make_bundle(tmp_path / "models", version=3)


def test_all_of_a_bundle_is_shown(bundle: Path, tiny_card: ModelCard) -> None:
    inspection = inspect_bundle(bundle)
    assert inspection.card == tiny_card
    assert inspection.opset == 20
    assert inspection.operators == {
        "MatMul": 1, "Gather": 1, "Add": 2, "Tanh": 1, "Mul": 1, "Clip": 1, "Cast": 1, "Reshape": 1
    }  # fmt: skip
    assert inspection.num_weights == 7 * 90 + 3 * 90 + 4
    facts = dict(inspection.facts())
    assert facts["model"] == "tiny:3"
    assert facts["input labels"] == "int64 (batch)"
    assert facts["output images"] == "uint8 (batch, 6, 5, 3)"
    assert facts["licences"] == "weights unknown, data unknown"
    assert facts["classes"] == "cat, dog, emu"
    assert facts["latent_dim"] == "7, addressed by philox4x64-as241-v1"
    assert facts["parity"].endswith("within 0.0001")
    assert facts["manifest"] == "ganserve-bundle/2, with a checksum of its own"
    assert facts["file README.md"].startswith(f"{(bundle / 'README.md').stat().st_size:,} bytes, SHA-256")
    assert {fact for fact, text in facts.items() if not text} == set()
    assert not {"place", "not of the bundle", "made with"} & facts.keys()


def test_what_is_amiss_with_the_folder_is_shown(bundle: Path) -> None:
    (bundle / "notes.txt").write_text("")
    moved = bundle.rename(bundle.parent / "4")
    facts = dict(inspect_bundle(moved).facts())
    assert facts["not of the bundle"] == "notes.txt"
    assert facts["place"].startswith(f"a server refuses it: {moved} holds tiny version 3")


def test_a_bundle_of_the_former_format_is_shown_as_such(
    tmp_path: Path, make_former_bundle: Callable[..., Path]
) -> None:
    facts = dict(inspect_bundle(make_former_bundle(tmp_path)).facts())
    assert facts["manifest"] == "ganserve-bundle/1, without a checksum of its own"
    assert facts["input labels"] == "int64 (batch)"


def test_the_command_prints_it_to_people_and_to_programs(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(bundle)]) == 0
    text = capsys.readouterr().out
    for expected in ("tiny:3", "golden samples", "1 Gather", "weights unknown"):
        assert expected in text
    assert main(["inspect", str(bundle), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["manifest"]["version"] == 3
    assert content["card"]["latent_dim"] == 7
    assert content["graph"]["operators"]["Tanh"] == 1


@pytest.mark.parametrize("file", ["model.onnx", "samples.png", "README.md"])
def test_a_file_that_is_not_what_the_manifest_says_is_named(
    bundle: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with (bundle / file).open("ab") as opened:
        opened.write(b" ")
    with pytest.raises(ArtifactError, match=f"{file} is torn or altered"):
        inspect_bundle(bundle)
    assert main(["inspect", str(bundle)]) == 3
    assert "torn or altered" in capsys.readouterr().err


def test_a_folder_that_is_no_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is not a model bundle"):
        inspect_bundle(tmp_path)
