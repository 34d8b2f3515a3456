"""Datasets of the Hugging Face `datasets` library: folders that `save_to_disk` wrote, and the Hub's by name."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path
from typing import IO, Any

from ganserve.contract.errors import ConfigError, DatasetError
from ganserve.contract.extras import install_advice

from . import fingerprints
from .dataset import Split
from .image_files import ImageFile, open_regular
from .layouts import require_text
from .listing import Listing

_SCHEME = "hf://"
_IMAGE_COLUMNS = ("image", "img")
_LABEL_COLUMNS = ("label", "labels", "fine_label")


def holds_huggingface(folder: Path) -> bool:
    """Whether `save_to_disk` wrote `folder`."""
    return (folder / "dataset_dict.json").is_file() or (
        (folder / "dataset_info.json").is_file() and (folder / "state.json").is_file()
    )


def list_saved(folder: Path, split: Split) -> Listing | None:
    """The images of the split; a dataset that is not divided is all training. None where it has no such split.

    The fingerprint covers the folder's real path and the path, size and times of every file in it. Raises DatasetError,
    and ConfigError where the library is missing.
    """
    library = _import()
    try:
        found = library.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, TypeError, library.exceptions.DatasetsError) as error:
        raise DatasetError(f"{folder}: cannot be read ({_line(error)}); save it again") from error
    files = [path for path in folder.rglob("*") if path.is_file()]
    return _list(found, split, str(folder), folder.resolve().name, fingerprints.of_files(folder, files))


def is_hub_name(source: str) -> bool:
    """Whether `source` is `hf://user/name`."""
    return source.startswith(_SCHEME)


def list_hub(source: str, split: Split) -> Listing | None:
    """The images of a dataset of the Hub, `hf://user/name` or, to pin it, `hf://user/name@revision`.

    The library downloads what it has not kept from the last time. The fingerprint covers the files that it made, as
    above. Raises DatasetError, and ConfigError where the library is missing or the name is wrong.
    """
    library = _import()
    name, _, revision = source.removeprefix(_SCHEME).partition("@")
    if not 1 <= len(name.split("/")) <= 2 or not all(name.split("/")):
        raise ConfigError(f"{source}: the Hub's names are hf://user/name, with @revision after it if you like")
    if Path(name).exists():
        raise ConfigError(
            f"{source}: the library would read {Path(name).absolute()} instead; give that path, or work elsewhere"
        )
    try:
        found = library.load_dataset(name, revision=revision or None)
    except (OSError, ValueError, RuntimeError, library.exceptions.DatasetsError) as error:
        raise DatasetError(f"{source}: cannot be fetched ({_line(error)}); check the name and the network") from error
    files = [Path(file["filename"]) for part in found.values() for file in part.cache_files]
    prints = [fingerprints.of_files(file.parent, [file]) for file in sorted(files)]
    return _list(found, split, source, name.rpartition("/")[2], fingerprints.of_text(*prints))


def _import() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise ConfigError(
            f"datasets of Hugging Face need its library ({error}); {install_advice('huggingface')}"
        ) from error
    return datasets


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _list(found: Any, split: Split, source: str, name: str, fingerprint: str) -> Listing | None:
    parts = found if isinstance(found, dict) else {"train": found}
    if split not in parts:
        return None
    rows = parts[split]
    image_column = _image_column(rows.features, source)
    label_column = _label_column(rows.features, source)
    labels, class_names = _labels(parts, split, label_column, source) if label_column else ([], ())
    rows = rows.select_columns([image_column]).cast_column(image_column, _import().Image(decode=False))
    return Listing(
        source=source,
        name=name,
        files=[
            ImageFile(
                f"{split}/{index}",
                labels[index] if labels else None,
                partial(_open_row, rows, index, image_column),
            )
            for index in range(len(rows))
        ],
        class_names=class_names,
        fingerprint=fingerprints.of_text("huggingface", split, fingerprint),
    )


def _image_column(features: Any, source: str) -> str:
    columns = [name for name, feature in features.items() if isinstance(feature, _import().Image)]
    column = _chosen(columns, _IMAGE_COLUMNS, f"{source}: columns of images")
    if column is None:
        raise DatasetError(f"{source}: no column of images among {', '.join(features)}; cast one to datasets.Image()")
    return column


def _label_column(features: Any, source: str) -> str | None:
    """A column of classes, or one of whole numbers that is named as labels are."""
    library = _import()
    classes = [name for name, feature in features.items() if isinstance(feature, library.ClassLabel)]
    if classes:
        return _chosen(classes, _LABEL_COLUMNS, f"{source}: columns of classes")
    numbers = (
        name
        for name, feature in features.items()
        if isinstance(feature, library.Value) and feature.dtype.lstrip("u").startswith("int") and name in _LABEL_COLUMNS
    )
    return next(numbers, None)


def _chosen(columns: list[str], preferred: tuple[str, ...], what: str) -> str | None:
    if len(columns) < 2:
        return next(iter(columns), None)
    named = [name for name in preferred if name in columns]
    if not named:
        raise DatasetError(f"{what} {', '.join(columns)}; keep one, or name it {preferred[0]}")
    return named[0]


def _labels(parts: Any, split: Split, column: str, source: str) -> tuple[list[int], tuple[str, ...]]:
    """The label of each row of the split, and the class names, which are those of the training rows."""
    feature = parts[split].features[column]
    values = list(parts[split][column])
    if isinstance(feature, _import().ClassLabel):
        names = require_text(feature.names, f"{source}: the class name")
        label_of = {number: number for number in range(len(names))}
    else:
        known = values if "train" not in parts else parts["train"][column]
        label_of = {number: label for label, number in enumerate(sorted(set(known) - {None}))}
        names = tuple(map(str, label_of))
    foreign = set(values) - set(label_of)
    if foreign:
        raise DatasetError(f"{source}: {column} is {foreign.pop()} in a row of {split}, which is no class")
    return [label_of[value] for value in values], names


def _open_row(rows: Any, index: int, column: str) -> IO[bytes]:
    image = rows[index][column]
    if image is None:
        raise ValueError("no image in this row")
    return io.BytesIO(image["bytes"]) if image["bytes"] is not None else open_regular(Path(image["path"]))
