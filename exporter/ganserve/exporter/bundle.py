"""Makes a model bundle and moves it into place as a whole."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ganserve.contract import images as codec
from ganserve.contract.bundle import (
    IMAGES_OUTPUT,
    LABELS_INPUT,
    LATENTS_INPUT,
    MODEL_FILE,
    README_FILE,
    SAMPLES_FILE,
    FileEntry,
    GoldenSamples,
    Manifest,
    Parity,
    sha256,
    signature_of,
    write_manifest,
)
from ganserve.contract.card import image_shape, is_conditional
from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.contract.labels import sample_labels
from ganserve.contract.latents import sample_latents
from ganserve.v1.generator_pb2 import LabelPolicy
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


def write_bundle(models_dir: Path, name: str, version: int, model: bytes, card: ModelCard, parity: Parity) -> Path:
    """Writes the bundle beside its place, then renames it: a bundle that is there is complete.

    Returns:
        The bundle's folder, `<models_dir>/<name>/<version>`.

    Raises:
        ConfigError: that version exists.
        ArtifactError: the disk does not take it.
    """
    with _moved_into_place(models_dir / name / str(version)) as folder:
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
    return models_dir / name / str(version)


def _golden_samples(model: bytes, card: ModelCard) -> NDArray[np.uint8]:
    """The first samples of the golden seed, uint8 (N, H, W, C): 64 of them, fewer where the images are large."""
    height, width, _ = image_shape(card)
    count = max(1, min(_MAX_GOLDEN_SAMPLES, _MAX_GOLDEN_PIXELS // (height * width)))
    inputs: dict[str, Any] = {LATENTS_INPUT: sample_latents(_GOLDEN_SEED, 0, count, card.latent_dim)}
    if is_conditional(card):
        inputs[LABELS_INPUT] = sample_labels(LabelPolicy(), card.class_names, _GOLDEN_SEED, 0, count)
    samples: NDArray[np.uint8] = open_session(model).run([IMAGES_OUTPUT], inputs)[0]
    return samples


def _entry(path: Path) -> FileEntry:
    data = path.read_bytes()
    return FileEntry(sha256=sha256(data), size_bytes=len(data))


@contextmanager
def _moved_into_place(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes `target` when the body ends well, and vanishes when it does not."""
    if target.exists():
        raise ConfigError(f"{target} exists; versions are never overwritten, so take another --version or leave it out")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise ArtifactError(f"{target} cannot be written: {error.strerror}") from error
    try:
        temporary.chmod(0o755)
        yield temporary
        for path in (*temporary.iterdir(), temporary):
            _sync(path)
        temporary.rename(target)
        _sync(target.parent)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError):
            raise ArtifactError(f"{target} cannot be written: {error.strerror}; nothing was left behind") from error
        raise


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
