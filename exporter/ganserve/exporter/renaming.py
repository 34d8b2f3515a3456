"""Another name or version for a bundle that is there: the same model under the same digest, without an export."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ganserve.contract.bundle import (
    MANIFEST_FILE,
    MAX_FILE_BYTES,
    MODEL_FILE,
    README_FILE,
    TRITON_FILE,
    check_model_name,
    check_signature,
    check_version,
    read_verified,
)
from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.contract.files import read_regular_file
from ganserve.contract.manifest import read_manifest
from ganserve.runtime.onnx_file import read_card
from ganserve.v1.bundle_pb2 import Manifest
from ganserve.v1.model_pb2 import ModelCard

from .bundle import set_time, versions_in, write_descriptions, write_triton_config
from .readme import render_readme


def rename(folder: Path, name: str, version: int | None = None) -> Path:
    """Moves a bundle to the folders of another name, and has its README and manifest say so.

    A bundle that was moved by hand is made to agree with the folders that it lies in. What was cut short can be done
    again.

    Args:
        folder: the bundle's, `<models>/<name>/<version>`, whatever its manifest says.
        name: the name to be.
        version: the version to be; None is the folder's number or, where that is none, the manifest's.

    Returns:
        The folder where the bundle lies now.

    Raises:
        ArtifactError: the bundle is not whole, or the disk does not take it.
        ConfigError: the name or version cannot be used, or is another bundle's.
    """
    check_model_name(name)
    folder = folder.absolute()
    manifest = read_manifest(folder)
    number = int(folder.name) if folder.name.isdecimal() else manifest.version
    renamed = Manifest()
    renamed.CopyFrom(manifest)
    renamed.name, renamed.version = name, check_version(number if version is None else version)
    card = _verify(folder, manifest, renamed)
    place = folder.parent.parent / name / str(renamed.version)
    if place != folder:
        _move(folder, place)
    write_descriptions(renamed, card, place)
    for file in (README_FILE, MANIFEST_FILE):
        set_time(place / file)
    for model_folder in {place.parent, folder.parent}:
        _bring_triton_config_up_to_date(model_folder)
    return place


def _verify(folder: Path, manifest: Manifest, renamed: Manifest) -> ModelCard:
    """The model's card, where every file is what the manifest says; a README may be the new one already."""
    for file in manifest.files.keys() - {MODEL_FILE, README_FILE}:
        read_verified(folder, file, manifest)
    card = read_card(read_verified(folder, MODEL_FILE, manifest), source=str(folder / MODEL_FILE))
    check_signature(manifest, card, folder)
    readme = read_regular_file(folder / README_FILE, MAX_FILE_BYTES)
    if readme != render_readme(card, renamed).encode():
        read_verified(folder, README_FILE, manifest)
    return card


def _move(folder: Path, place: Path) -> None:
    if place.exists():
        raise ConfigError(f"{place} exists; give another --name or --version")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(place)
    except OSError as error:
        raise ArtifactError(f"{folder} cannot be moved to {place}: {error.strerror or error}") from error


def _bring_triton_config_up_to_date(model_folder: Path) -> None:
    """Has it describe the newest version that is left; where none is, it goes, and the folder with it if empty."""
    if versions := versions_in(model_folder):
        write_triton_config(read_manifest(model_folder / str(max(versions))), model_folder)
        return
    (model_folder / TRITON_FILE).unlink(missing_ok=True)
    with suppress(OSError):
        model_folder.rmdir()
