"""Makes a model bundle and moves it into place as a whole."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ganserve.contract import images as codec
from ganserve.contract.bundle import (
    IMAGE_INPUT,
    IMAGES_OUTPUT,
    MODEL_FILE,
    README_FILE,
    SAMPLES_FILE,
    SCORES_OUTPUT,
    TRITON_FILE,
    check_model_name,
    check_version,
    golden_rows,
    sha256,
    signature_of,
)
from ganserve.contract.card import UNKNOWN, is_scorer
from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.contract.files import new_file, new_folder, sync
from ganserve.contract.images import Images
from ganserve.contract.manifest import write_manifest
from ganserve.runtime.runners import CpuRunner
from ganserve.v1.bundle_pb2 import FileEntry, GoldenSamples, Licences, Manifest, Parity
from ganserve.v1.model_pb2 import ModelCard

from .readme import render_readme
from .triton import render_config

_LICENCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")
_LAST_SECOND: Final = 253_402_300_799  # of the year 9999
_GOLDEN_SEED: Final = 0
_MAX_GOLDEN_SAMPLES: Final = 64
_MAX_GOLDEN_PIXELS: Final = 4 * 1024**2


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a bundle goes, and what it says of itself beside the model."""

    models: Path
    """Folder of bundles; made if need be."""
    name: str
    """The model's name in it."""
    version: int | None = None
    """From 1; None takes the next."""
    force: bool = False
    """Whether a bundle of this version may be replaced."""
    licences: Licences = field(default_factory=Licences)

    @property
    def folder(self) -> Path:
        """`<models>/<name>/<version>`, where None is one above the highest version that is there."""
        version = max(self.versions(), default=0) + 1 if self.version is None else self.version
        return self.models / self.name / str(version)

    def check(self) -> None:
        """Raises ConfigError where name or version cannot be used, ArtifactError where the folder cannot."""
        check_model_name(self.name)
        for licence in (self.licences.weights, self.licences.data):
            if not _LICENCE.fullmatch(licence or UNKNOWN):
                raise ConfigError(f"{licence!r} is no licence's identifier; they are like apache-2.0")
        _source_date()
        _check_writable(self.models)
        check_version(int(self.folder.name))
        if self.folder.exists() and not self.force:
            raise ConfigError(
                f"{self.folder} exists; take another --version, leave it out for the next, or replace it with --force"
            )

    def versions(self) -> list[int]:
        """The model's versions that are there."""
        return versions_in(self.models / self.name)


def write_bundle(model: bytes, card: ModelCard, target: Target, parity: Parity) -> tuple[Path, Manifest]:
    """Writes the bundle beside its place, then renames it: a bundle that is there is complete.

    The same model gives the same bytes. Where SOURCE_DATE_EPOCH is set, the files have that time too.

    Returns:
        The bundle's folder and its manifest.

    Raises:
        ConfigError: name or version cannot be used.
        ArtifactError: the disk does not take it.
    """
    target.check()
    place = target.folder
    with new_folder(place, replace=target.force) as folder:
        golden, picture = _golden_samples(model, card)
        (folder / MODEL_FILE).write_bytes(model)
        codec.to_pil(codec.make_grid(picture)).save(folder / SAMPLES_FILE)
        manifest = Manifest(
            name=target.name,
            version=int(place.name),
            files={file: _entry((folder / file).read_bytes()) for file in (MODEL_FILE, SAMPLES_FILE)},
            signature=signature_of(card),
            golden=golden,
            parity=parity,
            licences=Licences(weights=target.licences.weights or UNKNOWN, data=target.licences.data or UNKNOWN),
        )
        write_descriptions(manifest, card, folder)
        for path in folder.iterdir():
            set_time(path)
            sync(path)
        set_time(folder)
        if manifest.version >= max(target.versions(), default=0):
            write_triton_config(manifest, place.parent)
    return place, manifest


def write_descriptions(manifest: Manifest, card: ModelCard, folder: Path) -> None:
    """Writes README and manifest, which tell the name, into a bundle's folder. `manifest` gets the README's entry."""
    readme = render_readme(card, manifest).encode()
    manifest.files[README_FILE].CopyFrom(_entry(readme))
    with new_file(folder / README_FILE) as path:
        path.write_bytes(readme)
    write_manifest(manifest, folder)


def write_triton_config(manifest: Manifest, folder: Path) -> None:
    """Writes the configuration for Triton beside the versions of a model, of which `manifest` is the newest one's."""
    with new_file(folder / TRITON_FILE) as path:
        path.write_text(render_config(manifest), encoding="utf-8")
        set_time(path)


def versions_in(folder: Path) -> list[int]:
    """The versions that lie in a model's folder, which need not exist."""
    return [int(path.name) for path in folder.iterdir() if path.name.isdecimal()] if folder.is_dir() else []


def _golden_samples(model: bytes, card: ModelCard) -> tuple[GoldenSamples, Images]:
    """The first samples of the golden seed, and as images uint8 (N, H, W, C): 64 of them, fewer where they are large.

    They are made by the server's own runner, as the server makes them again. Of a scorer the images are those that it
    scores.
    """
    shape = card.inputs[0].shape if is_scorer(card) else card.image
    count = max(1, min(_MAX_GOLDEN_SAMPLES, _MAX_GOLDEN_PIXELS // (shape.height * shape.width)))
    rows = golden_rows(card, _GOLDEN_SEED, count)
    made = CpuRunner(model, signature_of(card)).run(rows).columns
    samples = made[SCORES_OUTPUT if is_scorer(card) else IMAGES_OUTPUT]
    golden = GoldenSamples(seed=_GOLDEN_SEED, sha256=[sha256(sample.tobytes()) for sample in samples])
    if not is_scorer(card):
        return golden, samples
    golden.scores.extend(samples.reshape(-1).tolist())
    return golden, rows.columns[IMAGE_INPUT]


def _entry(data: bytes) -> FileEntry:
    return FileEntry(sha256=sha256(data), size_bytes=len(data))


def set_time(path: Path) -> None:
    """Gives a file the time of SOURCE_DATE_EPOCH, if set: https://reproducible-builds.org/specs/source-date-epoch."""
    date = _source_date()
    if date is not None:
        os.utime(path, (date, date))


def _check_writable(models: Path) -> None:
    """Raises ArtifactError where bundles cannot be put in `models`, which need not exist, before any work is done."""
    there = next(folder for folder in (models, *models.absolute().parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        reason = "may not be written to" if there.is_dir() else "is not a folder"
        raise ArtifactError(f"--models {models}: {there} {reason}; give another folder")


def _source_date() -> int | None:
    """Seconds since 1970, if set. Raises ConfigError where it is no time."""
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if text is None:
        return None
    if not text.isdecimal() or int(text) > _LAST_SECOND:
        raise ConfigError(f"SOURCE_DATE_EPOCH is {text!r}; it is a whole number of seconds since 1970")
    return int(text)
