from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ganserve.contract.bundle import (
    MANIFEST_FILE,
    FileEntry,
    GoldenSamples,
    Licences,
    Manifest,
    Parity,
    check_model_name,
    read_manifest,
    signature_of,
    write_manifest,
)
from ganserve.contract.card import LATENT_SCHEME
from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.v1.model_pb2 import ImageShape, ModelCard

CARD = ModelCard(
    latent_dim=64,
    image=ImageShape(height=28, width=20, channels=1),
    class_names=["cat", "dog"],
    latent_scheme=LATENT_SCHEME,
)

SCHEMA = json.loads(files("ganserve.contract").joinpath("manifest.schema.json").read_text())


@pytest.fixture
def manifest(tiny_parity: Parity) -> Manifest:
    return Manifest(
        name="pets",
        version=2,
        files={
            "model.onnx": FileEntry(sha256="a" * 64, size_bytes=10),
            "samples.png": FileEntry(sha256="b" * 64, size_bytes=5),
        },
        signature=signature_of(CARD),
        golden=GoldenSamples(seed=0, sha256=("c" * 64, "d" * 64)),
        parity=tiny_parity,
        licences=Licences(weights="apache-2.0"),
    )


def test_a_manifest_makes_the_round_trip(tmp_path: Path, manifest: Manifest) -> None:
    write_manifest(manifest, tmp_path)
    assert read_manifest(tmp_path) == manifest
    assert (manifest.digest, manifest.size_bytes) == ("a" * 64, 10)


def test_a_manifest_is_what_its_schema_says(tmp_path: Path, manifest: Manifest) -> None:
    write_manifest(manifest, tmp_path)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(json.loads((tmp_path / MANIFEST_FILE).read_text()), SCHEMA)


def test_the_signature_follows_from_the_card() -> None:
    signature = signature_of(CARD)
    assert {name: spec.shape for name, spec in signature.inputs.items()} == {
        "latents": ("batch", 64),
        "labels": ("batch",),
    }
    assert signature.outputs["images"].shape == ("batch", 28, 20, 1)
    assert list(signature_of(ModelCard(latent_dim=3)).inputs) == ["latents"]


@pytest.mark.parametrize("text", ['{"version": Infinity', "[" * 200_000])
def test_text_that_is_hardly_json_is_refused(tmp_path: Path, manifest: Manifest, text: str) -> None:
    write_manifest(manifest, tmp_path)
    path = tmp_path / MANIFEST_FILE
    path.write_text(path.read_text().replace('"version": 2', '"version": Infinity') if text[0] == "{" else text)
    with pytest.raises(ArtifactError, match="is not a ganserve-bundle/1 manifest"):
        read_manifest(tmp_path)


def drop(key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda content: content.pop(key)


@pytest.mark.parametrize(
    "spoil",
    [
        *(drop(key) for key in ("format", "name", "files", "golden", "parity", "signature", "licences")),
        lambda content: content.update(format="ganserve-bundle/9"),
        lambda content: content.update(files={}),
        lambda content: content["files"]["model.onnx"].pop("sha256"),
        lambda content: content["golden"].update(sha256=[]),
        *(
            lambda content, name=name: content["files"].update({name: content["files"]["model.onnx"]})
            for name in ("../outside", "..", "", "a\0b", "\ud800", "a b")
        ),
        lambda content: content["parity"].update(dtype="int8"),
        lambda content: content["parity"].update(max_float_error="small"),
    ],
)
def test_a_spoilt_manifest_is_refused(
    tmp_path: Path, manifest: Manifest, spoil: Callable[[dict[str, Any]], Any]
) -> None:
    write_manifest(manifest, tmp_path)
    path = tmp_path / MANIFEST_FILE
    content = json.loads(path.read_text())
    spoil(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match="is not a ganserve-bundle/1 manifest"):
        read_manifest(tmp_path)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, SCHEMA)


@pytest.mark.parametrize("text", ["", "[1]", "{", "\xff"])
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST_FILE).write_text(text, encoding="latin-1")
    with pytest.raises(ArtifactError, match=r"manifest\.json"):
        read_manifest(tmp_path)


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is not a model bundle"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("name", ["digits", "a", "0.x-y_z", "a" * 64])
def test_good_names(name: str) -> None:
    check_model_name(name)


@pytest.mark.parametrize("name", ["", "A", ".hidden", "../up", "a/b", "a" * 65, "ü", "a\n"])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is no model name"):
        check_model_name(name)
