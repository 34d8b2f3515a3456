"""Makes a model bundle and moves it into place as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ganserve.contract import images as codec
from ganserve.contract.bundle import (
    IMAGES_OUTPUT,
    MAX_VERSION,
    MODEL_FILE,
    README_FILE,
    SAMPLES_FILE,
    FileEntry,
    GoldenSamples,
    Manifest,
    Parity,
    golden_inputs,
    onnx_inputs,
    sha256,
    signature_of,
    write_manifest,
)
from ganserve.contract.card import image_shape
from ganserve.contract.errors import ConfigError
from ganserve.contract.files import new_folder, sync
from ganserve.v1.model_pb2 import ModelCard

from .parity import open_session
from .readme import render_readme

_GOLDEN_SEED: Final = 0
_MAX_GOLDEN_SAMPLES: Final = 64
_MAX_GOLDEN_PIXELS: Final = 4 * 1024**2


def next_version(models_dir: Path, name: str) -> int:
    """One above the highest version of a model in a models folder; 1 for a new model."""
    folder = models_dir / name
    versions = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()] if folder.is_dir() else []
    return max(versions, default=0) + 1


def check_free(models_dir: Path, name: str, version: int) -> None:
    """Raises ConfigError unless a model may be given this version."""
    if not 1 <= version <= MAX_VERSION:
        raise ConfigError(f"--version is {version}; versions go from 1 to {MAX_VERSION}")
    target = models_dir / name / str(version)
    if target.exists():
        raise ConfigError(f"{target} exists; versions are never overwritten, so take another --version or leave it out")


def write_bundle(models_dir: Path, name: str, version: int, model: bytes, card: ModelCard, parity: Parity) -> Path:
    """Writes the bundle beside its place, then renames it: a bundle that is there is complete.

    Returns:
        The bundle's folder, `<models_dir>/<name>/<version>`.

    Raises:
        ConfigError: that version exists.
        ArtifactError: the disk does not take it.
    """
    target = models_dir / name / str(version)
    check_free(models_dir, name, version)
    with new_folder(target) as folder:
        samples = _golden_samples(model, card)
        (folder / MODEL_FILE).write_bytes(model)
        codec.to_pil(codec.make_grid(samples)).save(folder / SAMPLES_FILE)
        entries = {file: _entry(folder / file) for file in (MODEL_FILE, SAMPLES_FILE)}
        manifest = Manifest(
            name=name,
            version=version,
            files=entries,
            signature=signature_of(card),
            golden=GoldenSamples(seed=_GOLDEN_SEED, sha256=tuple(sha256(image.tobytes()) for image in samples)),
            parity=parity,
        )
        (folder / README_FILE).write_text(render_readme(card, manifest), encoding="utf-8")
        entries[README_FILE] = _entry(folder / README_FILE)
        write_manifest(manifest, folder)
        for path in folder.iterdir():
            sync(path)
    return target


def _golden_samples(model: bytes, card: ModelCard) -> NDArray[np.uint8]:
    """The first samples of the golden seed, uint8 (N, H, W, C): 64 of them, fewer where the images are large."""
    height, width, _ = image_shape(card)
    count = max(1, min(_MAX_GOLDEN_SAMPLES, _MAX_GOLDEN_PIXELS // (height * width)))
    inputs = onnx_inputs(*golden_inputs(card, _GOLDEN_SEED, count))
    samples: NDArray[np.uint8] = open_session(model).run([IMAGES_OUTPUT], inputs)[0]
    return samples


def _entry(path: Path) -> FileEntry:
    data = path.read_bytes()
    return FileEntry(sha256=sha256(data), size_bytes=len(data))
