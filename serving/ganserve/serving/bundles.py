"""Which bundles lie in a folder of models, and what lies there that is none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ganserve.contract.bundle import MANIFEST_FILE, MODEL_NAME
from ganserve.contract.errors import ArtifactError
from ganserve.contract.selectors import VERSIONS

PLACE: Final = (
    "a name has a-z, 0-9, '.', '_' and '-' and begins with a letter or digit, "
    "a version is a number from 1 without leading zeros"
)
"""What the folders of a bundle are called."""

_ONNX: Final = "*.onnx"
_VERSION: Final = re.compile(r"[1-9][0-9]{0,9}")


def find_bundles(models_dir: Path) -> list[Path]:
    """The folders `<name>/<version>` in a models folder, by name and version. Other files and folders are passed over.

    Raises:
        ArtifactError: the folder does not exist, holds no bundle or is one.
    """
    bundles = list_bundles(models_dir)
    if not bundles:
        raise ArtifactError(_why_none(models_dir))
    return bundles


def list_bundles(models_dir: Path) -> list[Path]:
    """The same, where there may be none. Raises ArtifactError where the folder does not exist."""
    if not models_dir.is_dir():
        raise ArtifactError(f"{models_dir} is not a folder; give the folder that `ganserve export --models` wrote to")
    models = (folder for folder in _folders(models_dir) if MODEL_NAME.fullmatch(folder.name))
    return [version for model in models for version in _versions(model)]


def place_of(bundle: Path) -> tuple[str, int]:
    """Name and version that a bundle's folder stands for. Raises ArtifactError where it stands for none."""
    place = bundle.absolute()
    if not _is_place(place):
        raise ArtifactError(f"{bundle} is no place for a bundle, which is a folder NAME/VERSION, such as digits/1")
    return place.parent.name, int(place.name)


def list_places(models_dir: Path) -> set[tuple[str, int]]:
    """Names and versions of the bundles in a models folder. Raises ArtifactError where the folder does not exist."""
    return set(map(place_of, list_bundles(models_dir)))


def bundle_at(models_dir: Path, name: str, version: int) -> Path:
    """The folder of a version, which must be there. No other path can come of a name.

    Raises:
        ArtifactError: there is none, or a link there leads out of the folder.
    """
    bundle = models_dir / name / str(version)
    if not MODEL_NAME.fullmatch(name) or not _is_version(str(version)) or not bundle.is_dir():
        raise ArtifactError(f"there is no bundle {name[:80]}/{version} in the server's folder of models")
    check_inside(bundle)
    return bundle


def check_inside(bundle: Path) -> None:
    """Raises ArtifactError where a bundle is a link that leads out of the folder of models."""
    models_dir = bundle.absolute().parent.parent
    if not bundle.resolve().is_relative_to(models_dir.resolve()):
        raise ArtifactError(f"{bundle} leads out of {models_dir}; put the bundle itself there, not a link to it")


def told_without_folder(text: str, models_dir: Path) -> str:
    """What is wrong with a bundle, for those who are not told where on the server's disk it lies."""
    for folder in (models_dir.resolve(), models_dir.absolute(), models_dir):
        if folder.name:
            text = text.replace(f"{folder}/", "")
        if folder.is_absolute():  # another may be called like a word of the text
            text = text.replace(str(folder), "the folder of models")
    return text


def find_strays(models_dir: Path) -> list[Path]:
    """ONNX files in a models folder that are in no bundle, beside the models or beside the versions of one."""
    folders = (models_dir, *_folders(models_dir))
    return sorted(path for folder in folders for path in folder.glob(_ONNX) if path.is_file())


def find_misnamed(models_dir: Path) -> list[Path]:
    """Bundles in a models folder whose folders are no NAME/VERSION, such as Pets/1 or pets/007."""
    folders = (path.parent for path in models_dir.glob(f"*/*/{MANIFEST_FILE}"))
    return sorted(folder for folder in folders if folder.name.isdecimal() and not _is_place(folder))


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
    return sorted((path for path in _folders(model_dir) if _is_version(path.name)), key=lambda path: int(path.name))


def _is_place(folder: Path) -> bool:
    """Whether a folder's path ends in the name and the version of a model."""
    return MODEL_NAME.fullmatch(folder.parent.name) is not None and _is_version(folder.name)


def _is_version(name: str) -> bool:
    """Whether a folder's name is a number, from 1 and without leading zeros."""
    return _VERSION.fullmatch(name) is not None and int(name) in VERSIONS
