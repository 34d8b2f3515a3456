from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from ganserve.contract.bundle import MANIFEST_FILE, sha256, signature_of
from ganserve.contract.card import LATENT_SCHEME
from ganserve.contract.errors import ArtifactError
from ganserve.contract.manifest import describe_parity, digest_of, dtype_of, read_manifest, write_manifest
from ganserve.v1.bundle_pb2 import FileEntry, GoldenSamples, Licences, Manifest, Parity
from ganserve.v1.model_pb2 import ImageShape, ModelCard

CARD = ModelCard(
    latent_dim=64,
    image=ImageShape(height=28, width=20, channels=1),
    class_names=["cat", "dog"],
    latent_scheme=LATENT_SCHEME,
)

SCHEMA = json.loads(files("ganserve.contract").joinpath("manifest.schema.json").read_text())

FORMER = """{
  "files": {
    "model.onnx": {"sha256": "MODEL", "size_bytes": 10},
    "samples.png": {"sha256": "SAMPLES", "size_bytes": 5}
  },
  "format": "ganserve-bundle/1",
  "golden": {"seed": 0, "sha256": ["FIRST", "SECOND"]},
  "licences": {"data": "unknown", "weights": "apache-2.0"},
  "name": "pets",
  "parity": {
    "dtype": "fp32",
    "max_float_error": 1e-06,
    "max_levels_off": 0,
    "num_images": 5,
    "num_values": 450,
    "num_values_off": 0,
    "tolerance": 0.0001
  },
  "signature": {
    "inputs": {
      "labels": {"dtype": "int64", "shape": ["batch"]},
      "latents": {"dtype": "float32", "shape": ["batch", 64]}
    },
    "outputs": {"images": {"dtype": "uint8", "shape": ["batch", 28, 20, 1]}}
  },
  "version": 2
}
"""
"""A manifest as it was written before manifests were protobuf messages and had a checksum."""
for name, digit in (("MODEL", "a"), ("SAMPLES", "b"), ("FIRST", "c"), ("SECOND", "d")):
    FORMER = FORMER.replace(name, digit * 64)


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
        golden=GoldenSamples(seed=0, sha256=["c" * 64, "d" * 64]),
        parity=tiny_parity,
        licences=Licences(weights="apache-2.0", data="unknown"),
    )


def test_a_manifest_makes_the_round_trip(tmp_path: Path, manifest: Manifest) -> None:
    write_manifest(manifest, tmp_path)
    assert read_manifest(tmp_path) == manifest
    assert (digest_of(manifest), dtype_of(manifest)) == ("a" * 64, "fp32")
    assert describe_parity(manifest.parity).startswith("5 images in fp32: floats within 1e-06, 0 of 450 values off")


def test_a_manifest_is_what_its_schema_says(tmp_path: Path, manifest: Manifest) -> None:
    write_manifest(manifest, tmp_path)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(json.loads((tmp_path / MANIFEST_FILE).read_text()), SCHEMA)


def test_the_schema_names_the_fields_of_the_message_and_their_types() -> None:
    check_properties(SCHEMA, Manifest.DESCRIPTOR)


def check_properties(schema: dict[str, Any], message: Descriptor) -> None:
    assert list(schema["required"]) == [field.name for field in message.fields]
    assert set(schema["properties"]) == set(schema["required"])
    for field in message.fields:
        check_type(resolve(schema["properties"][field.name]), field)


def check_type(schema: dict[str, Any], field: FieldDescriptor) -> None:
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        check_type(schema["additionalProperties"], message.fields_by_name["value"])
        return
    if field.is_repeated:
        assert schema["type"] == "array"
        schema = resolve(schema["items"])
    if message is not None:
        check_properties(schema, message)
        return
    json_type = {
        FieldDescriptor.TYPE_STRING: "string",
        FieldDescriptor.TYPE_UINT32: "integer",
        FieldDescriptor.TYPE_UINT64: "string",
        FieldDescriptor.TYPE_DOUBLE: "number",
        FieldDescriptor.TYPE_FLOAT: "number",
    }[field.type]
    values = schema.get("enum", [schema.get("const")])
    assert schema.get("type") == json_type or all(isinstance(value, str) for value in values)


def resolve(schema: dict[str, Any]) -> dict[str, Any]:
    return SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def test_the_checksum_is_what_any_tool_can_compute(tmp_path: Path, manifest: Manifest) -> None:
    write_manifest(manifest, tmp_path)
    content = json.loads((tmp_path / MANIFEST_FILE).read_text())
    assert content["checksum"] == sha256(canonical(content))


def canonical(content: dict[str, Any]) -> bytes:
    rest = {name: value for name, value in content.items() if name != "checksum"}
    return json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize("flips", [[1 << bit for bit in range(8)], [0xFF]])
def test_every_flipped_byte_is_found_or_changes_nothing(tmp_path: Path, manifest: Manifest, flips: list[int]) -> None:
    write_manifest(manifest, tmp_path)
    path = tmp_path / MANIFEST_FILE
    text = path.read_bytes()
    for position in range(len(text)):
        path.write_bytes(
            text[:position] + bytes([text[position] ^ flips[position % len(flips)]]) + text[position + 1 :]
        )
        try:
            found = read_manifest(tmp_path)
        except ArtifactError:
            continue
        assert found == manifest, position


def test_a_byte_that_is_missing_is_found(tmp_path: Path, manifest: Manifest) -> None:
    write_manifest(manifest, tmp_path)
    path = tmp_path / MANIFEST_FILE
    text = path.read_text()
    for length in range(len(text.rstrip())):
        path.write_text(text[:length])
        with pytest.raises(ArtifactError, match="is torn, altered or not a ganserve-bundle/2 manifest"):
            read_manifest(tmp_path)


def test_a_field_that_this_version_does_not_know_is_under_the_checksum_too(tmp_path: Path, manifest: Manifest) -> None:
    write_manifest(manifest, tmp_path)
    path = tmp_path / MANIFEST_FILE
    path.write_text(path.read_text().replace("{", '{"kind": "translator",', 1))
    with pytest.raises(ArtifactError, match="its checksum does not fit"):
        read_manifest(tmp_path)


def test_a_manifest_of_the_former_format_is_read(tmp_path: Path, manifest: Manifest) -> None:
    (tmp_path / MANIFEST_FILE).write_text(FORMER)
    found = read_manifest(tmp_path)
    assert (found.format, found.checksum) == ("ganserve-bundle/1", "")
    manifest.format = found.format
    assert found == manifest


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"shape": ["batch", 64]', '"shape": [1, 64]', "the first axis of latents is 1"),
        ('"shape": ["batch", 64]', '"shape": []', "not enough values"),
        ('"licences"', '"licenses"', "it has no licences"),
        ('"version": 2', '"version": 2, "checksum": "0"', "its checksum does not fit"),
        ("ganserve-bundle/1", "ganserve-bundle/2", "it has no 'checksum'"),
    ],
)
def test_a_spoilt_manifest_of_the_former_format_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    (tmp_path / MANIFEST_FILE).write_text(FORMER.replace(old, new))
    with pytest.raises(ArtifactError, match=reason):
        read_manifest(tmp_path)


@pytest.mark.parametrize("text", ['{"version": Infinity', "[" * 200_000])
def test_text_that_is_hardly_json_is_refused(tmp_path: Path, manifest: Manifest, text: str) -> None:
    write_manifest(manifest, tmp_path)
    path = tmp_path / MANIFEST_FILE
    path.write_text(path.read_text().replace('"version": 2', '"version": Infinity') if text[0] == "{" else text)
    with pytest.raises(ArtifactError, match="not a ganserve-bundle/2 manifest"):
        read_manifest(tmp_path)


def drop(key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda content: content.pop(key)


@pytest.mark.parametrize(
    "spoil",
    [
        *(drop(key) for key in ("format", "name", "files", "version", "golden", "parity", "signature", "licences")),
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
    content["checksum"] = sha256(canonical(content))
    path.write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match="not a ganserve-bundle/2 manifest"):
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


@pytest.mark.parametrize("text", ["[]", "null", '"x"', "3"])
def test_json_that_is_no_object_is_told_in_plain_words(text: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST_FILE).write_text(text)
    with pytest.raises(ArtifactError, match="it holds no object of JSON"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("above", [1, 2])
def test_a_folder_of_bundles_names_those_below(above: int, tmp_path: Path, manifest: Manifest) -> None:
    folder = tmp_path / "models" / "digits"
    for version in (10, 2):
        (folder / str(version)).mkdir(parents=True)
        write_manifest(manifest, folder / str(version))
    with pytest.raises(ArtifactError, match=rf"below it: {folder / '2'}, {folder / '10'}$"):
        read_manifest(folder if above == 1 else folder.parent)
