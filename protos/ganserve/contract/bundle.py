"""The model bundle: a folder `models/<name>/<version>/`, described by its manifest.

`manifest.schema.json` beside this module is the manifest's JSON Schema. `config.pbtxt`, one folder up, is for servers
that read Triton's layout, and no part of the bundle.

model.onnx      one file: weights, pixels and model card
manifest.json   SHA-256 and size of every other file, signature, parity report, golden samples
README.md       a model card for people
samples.png     the golden samples as a grid
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np

from ganserve.contract.card import image_shape, is_conditional
from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.contract.files import read_regular_file
from ganserve.contract.labels import Labels, sample_labels
from ganserve.contract.latents import Latents, sample_latents
from ganserve.contract.rows import Rows
from ganserve.v1.generator_pb2 import LabelPolicy
from ganserve.v1.model_pb2 import ModelCard

FORMAT: Final = "ganserve-bundle/1"
MODEL_FILE: Final = "model.onnx"
MANIFEST_FILE: Final = "manifest.json"
README_FILE: Final = "README.md"
SAMPLES_FILE: Final = "samples.png"
TRITON_FILE: Final = "config.pbtxt"

CARD_KEY: Final = "ganserve.card"
LATENTS_INPUT: Final = "latents"
LABELS_INPUT: Final = "labels"
IMAGES_OUTPUT: Final = "images"
BATCH_AXIS: Final = "batch"

Dtype = Literal["fp32", "fp16"]
"""What a model computes in; latents are float32 and images uint8 either way."""

MAX_VERSION: Final = 2**32 - 1
MAX_FILE_BYTES: Final = 2 * 1024**3
_MAX_MANIFEST_BYTES: Final = 16 * 1024**2

_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
MODEL_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """A file of the bundle."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """An input or output of the ONNX file; a name in the shape stands for a free axis."""

    dtype: str
    shape: tuple[str | int, ...]

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one row, without the batch axis."""
        return tuple(int(axis) for axis in self.shape[1:])


@dataclass(frozen=True, kw_only=True)
class Signature:
    """Inputs and outputs of the ONNX file, by name."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]


@dataclass(frozen=True, kw_only=True)
class GoldenSamples:
    """Samples `0 … len(sha256) - 1` of a seed, without truncation, balanced over the classes where there are any.

    `sha256` are the digests of the pixels, each uint8 (height, width, channels).
    """

    seed: int
    sha256: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How far the exported model is from the generator that it was made of, over all compared images."""

    dtype: Dtype
    tolerance: float
    """Float error up to which the two were taken for equal."""
    num_images: int
    max_float_error: float
    """Where images lie in [-1, 1]."""
    max_levels_off: int
    """Of 255."""
    num_values: int
    num_values_off: int
    """Values that differ by a level or more."""

    def text(self) -> str:
        """One line for people."""
        levels = "1 level" if self.max_levels_off == 1 else f"{self.max_levels_off} levels"
        return (
            f"{self.num_images:,} images in {self.dtype}: floats within {self.max_float_error:.2g}, "
            f"{self.num_values_off:,} of {self.num_values:,} values off, by {levels} at most"
        )


@dataclass(frozen=True, kw_only=True)
class Licences:
    """Under which weights and data may be used: identifiers as Hugging Face has them, such as `apache-2.0`."""

    weights: str = "unknown"
    data: str = "unknown"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What the bundle holds."""

    name: str
    version: int
    files: Mapping[str, FileEntry]
    signature: Signature
    golden: GoldenSamples
    parity: Parity
    licences: Licences

    @property
    def digest(self) -> str:
        """SHA-256 of the ONNX file: the model's digest."""
        return self.files[MODEL_FILE].sha256

    @property
    def size_bytes(self) -> int:
        """Size of the ONNX file."""
        return self.files[MODEL_FILE].size_bytes


def signature_of(card: ModelCard) -> Signature:
    """The signature that a generator with this card must have."""
    inputs = {LATENTS_INPUT: TensorSpec(dtype="float32", shape=(BATCH_AXIS, card.latent_dim))}
    if is_conditional(card):
        inputs[LABELS_INPUT] = TensorSpec(dtype="int64", shape=(BATCH_AXIS,))
    images = TensorSpec(dtype="uint8", shape=(BATCH_AXIS, *image_shape(card)))
    return Signature(inputs=inputs, outputs={IMAGES_OUTPUT: images})


def blank_rows(signature: Signature, count: int) -> Rows:
    """Zeros for every input of a model."""
    return Rows({name: np.zeros((count, *spec.row_shape), spec.dtype) for name, spec in signature.inputs.items()})


def generator_rows(latents: Latents, labels: Labels | None) -> Rows:
    """What a generator is fed: latents float32 (N, latent_dim) and, where there are classes, labels int64 (N,)."""
    return Rows({LATENTS_INPUT: latents} if labels is None else {LATENTS_INPUT: latents, LABELS_INPUT: labels})


def golden_rows(card: ModelCard, seed: int, count: int) -> Rows:
    """What a generator is fed for its first `count` golden samples."""
    latents = sample_latents(seed, 0, count, card.latent_dim)
    labels = sample_labels(LabelPolicy(), card.class_names, seed, 0, count) if is_conditional(card) else None
    return generator_rows(latents, labels)


def sha256(data: bytes | memoryview) -> str:
    """Lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def check_model_name(name: str) -> None:
    """Raises ConfigError for a name that a repository cannot hold."""
    if not MODEL_NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is no model name: use 1 to 64 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit"
        )


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Writes `manifest.json` into the bundle's folder."""
    text = json.dumps({"format": FORMAT} | asdict(manifest), indent=2, sort_keys=True)
    (folder / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Reads the manifest of a bundle's folder. Raises ArtifactError where it is missing or not one."""
    path = folder / MANIFEST_FILE
    if not path.exists():
        raise ArtifactError(f"{path} is missing; {folder} is not a model bundle")
    try:
        return _parse(json.loads(read_regular_file(path, _MAX_MANIFEST_BYTES)))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise ArtifactError(f"{path} is not a {FORMAT} manifest ({error!r}); export the model again") from error


def check_signature(manifest: Manifest, card: ModelCard, folder: Path) -> None:
    """Raises ArtifactError where a manifest claims another signature than its model's card asks for."""
    if manifest.signature != signature_of(card):
        raise ArtifactError(
            f"{folder / MANIFEST_FILE} has another signature than the model's card; export the model again"
        )


def read_verified(folder: Path, name: str, manifest: Manifest) -> bytes:
    """Reads a file of a bundle once. Raises ArtifactError where it is not what the manifest says."""
    path, entry = folder / name, manifest.files[name]
    data = read_regular_file(path, MAX_FILE_BYTES)
    if len(data) != entry.size_bytes or sha256(data) != entry.sha256:
        raise ArtifactError(
            f"{path} is torn or altered: the manifest has {entry.size_bytes} bytes with SHA-256 {entry.sha256[:12]}…, "
            f"the file {len(data)} bytes with {sha256(data)[:12]}…; export the model again"
        )
    return data


def _parse(content: dict[str, Any]) -> Manifest:
    if content["format"] != FORMAT:
        raise ValueError(f"its format is {content['format']!r}")
    manifest = Manifest(
        name=str(content["name"]),
        version=int(content["version"]),
        files={
            str(name): FileEntry(sha256=str(entry["sha256"]), size_bytes=int(entry["size_bytes"]))
            for name, entry in content["files"].items()
        },
        signature=Signature(
            inputs=_parse_tensors(content["signature"]["inputs"]),
            outputs=_parse_tensors(content["signature"]["outputs"]),
        ),
        golden=GoldenSamples(seed=int(content["golden"]["seed"]), sha256=tuple(map(str, content["golden"]["sha256"]))),
        parity=_parse_parity(content["parity"]),
        licences=Licences(weights=str(content["licences"]["weights"]), data=str(content["licences"]["data"])),
    )
    if not 1 <= manifest.version <= MAX_VERSION:
        raise ValueError(f"its version is {manifest.version}")
    strange = [name for name in manifest.files if not _FILE_NAME.fullmatch(name)]
    if strange:
        raise ValueError(f"it lists a file {strange[0]!r}")
    if MODEL_FILE not in manifest.files or SAMPLES_FILE not in manifest.files or not manifest.golden.sha256:
        raise ValueError(f"it must list {MODEL_FILE}, {SAMPLES_FILE} and golden samples")
    return manifest


def _parse_parity(content: dict[str, Any]) -> Parity:
    dtype = content["dtype"]
    if dtype not in get_args(Dtype):
        raise ValueError(f"its dtype is {dtype!r}")
    return Parity(
        dtype=dtype,
        tolerance=float(content["tolerance"]),
        num_images=int(content["num_images"]),
        max_float_error=float(content["max_float_error"]),
        max_levels_off=int(content["max_levels_off"]),
        num_values=int(content["num_values"]),
        num_values_off=int(content["num_values_off"]),
    )


def _parse_tensors(content: dict[str, Any]) -> dict[str, TensorSpec]:
    return {
        str(name): TensorSpec(
            dtype=str(spec["dtype"]),
            shape=tuple(axis if isinstance(axis, int) else str(axis) for axis in spec["shape"]),
        )
        for name, spec in content.items()
    }
