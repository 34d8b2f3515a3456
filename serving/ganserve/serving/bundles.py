"""Which bundles lie in a folder of models, and what lies there that is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ganserve.contract.bundle import MANIFEST_FILE, MODEL_NAME
from ganserve.contract.errors import ArtifactError

_ONNX: Final = "*.onnx"


def find_bundles(models_dir: Path) -> list[Path]:
    """The folders `<name>/<version>` in a models folder, by name and version. Other files and folders are passed over.

    Raises:
        ArtifactError: the folder does not exist, holds no bundle or is one, or holds a link that leads out of it.
    """
    if not models_dir.is_dir():
        raise ArtifactError(f"{models_dir} is not a folder; give the folder that `ganserve export --models` wrote to")
    models = (folder for folder in _folders(models_dir) if MODEL_NAME.fullmatch(folder.name))
    bundles = [version for model in models for version in _versions(model)]
    outside = [bundle for bundle in bundles if not bundle.resolve().is_relative_to(models_dir.resolve())]
    if outside:
        raise ArtifactError(f"{outside[0]} leads out of {models_dir}; put the bundle itself there, not a link to it")
    if not bundles:
        raise ArtifactError(_why_none(models_dir))
    return bundles


def find_strays(models_dir: Path) -> list[Path]:
    """ONNX files in a models folder that are in no bundle, beside the models or beside the versions of one."""
    folders = (models_dir, *_folders(models_dir))
    return sorted(path for folder in folders for path in folder.glob(_ONNX) if path.is_file())


def advise_import(stray: Path, models_dir: Path) -> str:
    """How to have an ONNX file served."""
    return (
        f"{stray} is no bundle, which is a folder {models_dir}/NAME/VERSION with {MANIFEST_FILE}; make one of it with "
        f"`ganserve import {stray} --models {models_dir}`"
    )


def _why_none(models_dir: Path) -> str:
    if (models_dir / MANIFEST_FILE).exists():
        return f"{models_dir} is one version of a model; give the folder of models: --models {_above(models_dir, 2)}"
    if any((version / MANIFEST_FILE).exists() for version in _versions(models_dir)):
        return f"{models_dir} is the folder of one model; give the folder of models: --models {_above(models_dir, 1)}"
    strays = find_strays(models_dir)
    if strays:
        return advise_import(strays[0], models_dir)
    return f"{models_dir} holds no model; export one with `ganserve export RUN --onnx --models {models_dir}`"


def _above(folder: Path, num_levels: int) -> Path:
    """A folder's ancestor, relative where the folder is given so and its name tells."""
    if ".." in folder.parts or len(folder.parts) < num_levels:
        folder = folder.resolve()
    return [folder, *folder.parents][min(num_levels, len(folder.parents))]


def _folders(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if path.is_dir())


def _versions(model_dir: Path) -> list[Path]:
    versions = [path for path in _folders(model_dir) if path.name.isdecimal()]
    return sorted(versions, key=lambda path: (len(path.name), path.name))
