from __future__ import annotations

from pathlib import Path

import pytest

from ganserve.contract.bundle import (
    axes_of,
    check_model_name,
    check_version,
    misplacement,
    signature_of,
    usable_name,
)
from ganserve.contract.errors import ConfigError
from ganserve.v1.bundle_pb2 import Manifest
from ganserve.v1.model_pb2 import ImageShape, ModelCard

from ...scorers import scorer_card


def test_the_signature_follows_from_the_card() -> None:
    card = ModelCard(latent_dim=64, image=ImageShape(height=28, width=20, channels=1), class_names=["cat", "dog"])
    signature = signature_of(card)
    assert {tensor.name: (tensor.dtype, axes_of(tensor)) for tensor in signature.inputs} == {
        "latents": ("float32", ("batch", 64)),
        "labels": ("int64", ("batch",)),
    }
    assert [axes_of(tensor) for tensor in signature.outputs] == [("batch", 28, 20, 1)]
    assert [tensor.name for tensor in signature_of(ModelCard(latent_dim=3)).inputs] == ["latents"]


def test_the_signature_of_a_scorer_has_a_column_for_each_score() -> None:
    signature = signature_of(scorer_card(["cat", "dog"]))
    assert [(one.name, one.dtype, axes_of(one)) for one in signature.inputs] == [("image", "uint8", ("batch", 6, 5, 3))]
    assert [(one.name, one.dtype, axes_of(one)) for one in signature.outputs] == [("scores", "float32", ("batch", 3))]


@pytest.mark.parametrize("name", ["digits", "a", "0.x-y_z", "a" * 64])
def test_good_names(name: str) -> None:
    check_model_name(name)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("My Photos", "my-photos"),
        ("Übungen (2024)", "ubungen-2024"),
        ("..hidden", "hidden"),
        ("runs.v2_final", "runs.v2_final"),
        ("a" * 65, "a" * 64),
        ("a" * 63 + " b", "a" * 63),
        ("写真", ""),
    ],
)
def test_a_name_is_made_of_whatever_a_folder_is_called(text: str, name: str) -> None:
    assert usable_name(text) == name
    if name:
        check_model_name(name)


def test_a_bad_name_is_refused_with_a_good_one() -> None:
    with pytest.raises(ConfigError, match="such as my-photos"):
        check_model_name("My Photos")


@pytest.mark.parametrize("version", [0, -1, 2**32])
def test_bad_versions_are_refused(version: int) -> None:
    with pytest.raises(ConfigError, match=f"--version is {version}; give 1 to 4,294,967,295"):
        check_version(version)


def test_a_bundle_in_the_folders_of_another_is_told_how_to_mend_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = Manifest(name="digits", version=1)
    (tmp_path / "digits" / "1").mkdir(parents=True)
    assert misplacement(manifest, tmp_path / "digits" / "1") == ""
    monkeypatch.chdir(tmp_path / "digits" / "1")
    assert misplacement(manifest, Path()) == ""
    fault = misplacement(manifest, tmp_path / "My Digits" / "1")
    assert f"move it to {tmp_path / 'digits' / '1'}" in fault
    assert f"`ganserve rename '{tmp_path / 'My Digits' / '1'}' --name my-digits`" in fault


@pytest.mark.parametrize("name", ["", "A", ".hidden", "../up", "a/b", "a" * 65, "ü", "a\n"])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is no model name"):
        check_model_name(name)
