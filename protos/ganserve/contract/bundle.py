"""The model bundle: a folder `models/<name>/<version>/`, described by its manifest.

`manifest.py` beside this module reads and writes the manifest, and `manifest.schema.json` is its JSON Schema.
`config.pbtxt`, one folder up, is for servers that read Triton's layout, and no part of the bundle.

model.onnx      one file: weights, pixels and model card
manifest.json   SHA-256 and size of every other file, signature, parity report, golden samples
README.md       a model card for people
samples.png     the golden samples as a grid
"""

from __future__ import annotations

import hashlib
import re
import shlex
import unicodedata
from pathlib import Path
from typing import Final, Literal

import numpy as np

from ganserve.contract.card import image_shape, is_conditional, is_scorer
from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.contract.files import read_regular_file
from ganserve.contract.labels import sample_labels
from ganserve.contract.latents import sample_latents
from ganserve.contract.rows import Column, Rows
from ganserve.contract.selectors import VERSIONS
from ganserve.contract.textures import sample_textures
from ganserve.v1.bundle_pb2 import Manifest, Signature, TensorSpec
from ganserve.v1.generator_pb2 import LabelPolicy
from ganserve.v1.model_pb2 import ImageShape, ModelCard

MODEL_FILE: Final = "model.onnx"
MANIFEST_FILE: Final = "manifest.json"
README_FILE: Final = "README.md"
SAMPLES_FILE: Final = "samples.png"
TRITON_FILE: Final = "config.pbtxt"

CARD_KEY: Final = "ganserve.card"
LATENTS_INPUT: Final = "latents"
LABELS_INPUT: Final = "labels"
IMAGE_INPUT: Final = "image"
MASK_INPUT: Final = "mask"
IMAGES_OUTPUT: Final = "images"
SCORES_OUTPUT: Final = "scores"
BATCH_AXIS: Final = "batch"

MASK_ABOVE: Final = 127
"""Pixels of a mask above it are made anew."""

Dtype = Literal["fp32", "fp16"]
"""What a model computes in; latents are float32 and images uint8 either way."""

Axes = tuple[str | int, ...]
"""Of an input or output: sizes, and a name for the axis that is free."""

MAX_FILE_BYTES: Final = 2 * 1024**3
MODEL_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_MAX_NAME_LENGTH: Final = 64
_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9._-]+")


def signature_of(card: ModelCard) -> Signature:
    """The signature that a model with this card must have."""
    inputs = []
    if card.latent_dim:
        inputs.append(TensorSpec(name=LATENTS_INPUT, dtype="float32", row_shape=[card.latent_dim]))
    if is_conditional(card):
        inputs.append(TensorSpec(name=LABELS_INPUT, dtype="int64"))
    inputs += [TensorSpec(name=entry.name, dtype="uint8", row_shape=_axes(entry.shape)) for entry in card.inputs]
    if is_scorer(card):
        made = TensorSpec(name=SCORES_OUTPUT, dtype="float32", row_shape=[len(card.scores)])
    else:
        made = TensorSpec(name=IMAGES_OUTPUT, dtype="uint8", row_shape=image_shape(card))
    return Signature(inputs=inputs, outputs=[made])


def _axes(shape: ImageShape) -> tuple[int, int, int]:
    return shape.height, shape.width, shape.channels


def axes_of(tensor: TensorSpec) -> Axes:
    """All axes of an input or output, the free one by its name."""
    return (BATCH_AXIS, *tensor.row_shape)


def blank_rows(signature: Signature, count: int) -> Rows:
    """Zeros for every input of a model."""
    return Rows({tensor.name: np.zeros((count, *tensor.row_shape), tensor.dtype) for tensor in signature.inputs})


def golden_rows(card: ModelCard, seed: int, count: int) -> Rows:
    """What a model is fed for its first `count` golden samples."""
    columns: dict[str, Column] = {}
    if card.latent_dim:
        columns[LATENTS_INPUT] = sample_latents(seed, 0, count, card.latent_dim)
    if is_conditional(card):
        columns[LABELS_INPUT] = sample_labels(LabelPolicy(), card.class_names, seed, 0, count)
    for number, entry in enumerate(card.inputs):
        columns[entry.name] = sample_textures(seed, 0, count, _axes(entry.shape), number=number)
    return Rows(columns)


def misplacement(manifest: Manifest, folder: Path) -> str:
    """What is wrong with the place of a bundle, and how to mend it; empty where its folders say what it says."""
    lies_in = folder.absolute()
    name, version = lies_in.parent.name, lies_in.name
    if (name, version) == (manifest.name, str(manifest.version)):
        return ""
    place = lies_in.parent.parent / manifest.name / str(manifest.version)
    return (
        f"{folder} holds {manifest.name} version {manifest.version}; move it to {place}, or give it the name of its "
        f"folder with `ganserve rename {shlex.quote(str(folder))} --name {usable_name(name) or 'NAME'}`"
    )


def sha256(data: bytes | memoryview) -> str:
    """Lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def check_model_name(name: str) -> None:
    """Raises ConfigError for a name that a repository cannot hold."""
    if not MODEL_NAME.fullmatch(name):
        example = f", such as {usable}" if (usable := usable_name(name)) else ""
        raise ConfigError(
            f"{name!r} is no model name: give --name 1 to 64 of a-z, 0-9, '.', '_' and '-', beginning with a letter or "
            f"digit{example}"
        )


def check_version(version: int) -> int:
    """The version itself. Raises ConfigError where no bundle can have it."""
    if version not in VERSIONS:
        raise ConfigError(f"--version is {version}; give {VERSIONS}")
    return version


def usable_name(text: str) -> str:
    """A model name like `text`, such as `my-photos` for `My Photos`; empty where nothing of it can be kept."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return _NOT_IN_NAMES.sub("-", plain).strip("-._")[:_MAX_NAME_LENGTH].rstrip("-._")


def check_signature(manifest: Manifest, card: ModelCard, folder: Path) -> None:
    """Raises ArtifactError where a manifest claims another signature than its model's card asks for."""
    if manifest.signature != signature_of(card):
        raise ArtifactError(
            f"{folder / MANIFEST_FILE} has another signature than the model's card; export the model again"
        )


def missing_bytes(folder: Path, manifest: Manifest) -> str:
    """What a bundle that is still being written lacks; empty where all files have the sizes of its manifest."""
    for name, entry in sorted(manifest.files.items()):
        path = folder / name
        size_bytes = path.stat().st_size if path.is_file() else 0
        if size_bytes != entry.size_bytes:
            return f"{path} has {size_bytes:,} of {entry.size_bytes:,} bytes"
    return ""


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
