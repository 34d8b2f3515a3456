"""Tables of images that the Hugging Face `datasets` library reads.

They are folders that `save_to_disk` wrote, Parquet files, and the Hub's by name.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

from ganserve.contract.errors import ConfigError, DatasetError

from . import fingerprints
from .cache import cache_folder
from .dataset import Split
from .huggingface_columns import find_image_column, find_label_column, import_library, read_labels, silenced
from .image_files import ImageFile, open_regular
from .listing import Listing
from .splits import choose_splits, divides, is_split_name

PARQUET_SUFFIX = ".parquet"
_SCHEME = "hf://"


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
    library = import_library()
    try:
        with silenced(library):
            found = library.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, TypeError, library.exceptions.DatasetsError) as error:
        raise DatasetError(f"{folder}: cannot be read ({_line(error)}); save it again") from error
    files = [path for path in folder.rglob("*") if path.is_file()]
    return _list(_parts(found), split, str(folder), folder.resolve().name, fingerprints.of_files(folder, files))


def is_hub_name(source: str) -> bool:
    """Whether `source` is `hf://user/name`."""
    return source.startswith(_SCHEME)


def list_hub(source: str, split: Split) -> Listing | None:
    """The images of a dataset of the Hub, `hf://user/name` or, to pin it, `hf://user/name@revision`.

    The library downloads what it has not kept from the last time. The fingerprint covers the files that it made, as
    above. Raises DatasetError, and ConfigError where the library is missing or the name is wrong.
    """
    library = import_library()
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
    return _list(_parts(found), split, source, name.rpartition("/")[2], fingerprints.of_text(*prints))


def list_parquet(path: Path, files: Sequence[Path], split: Split) -> Listing | None:
    """The images in Parquet files, all of them below or at `path`. None where they have no such split.

    A file's split is what its name begins with, as in `train-00000-of-00002.parquet`, or the name of a folder that it
    lies in; without any, all are training. The library keeps what it unpacks in the cache. The fingerprint covers the
    path, size and times of each file. Raises DatasetError, and ConfigError where the library is missing.
    """
    library = import_library()
    by_name: dict[str, list[str]] = {}
    for file in sorted(files):
        by_name.setdefault(_split_name(file, path), []).append(str(file))
    if not divides(by_name) and not all(map(is_split_name, by_name)):
        by_name = {"train": [file for names in by_name.values() for file in names]}
    try:
        with silenced(library):
            parts = {
                name: library.Dataset.from_parquet(names, cache_dir=str(cache_folder() / "parquet"))
                for name, names in by_name.items()
            }
    except (OSError, ValueError, RuntimeError, TypeError, library.exceptions.DatasetsError) as error:
        advice = "make or fetch its Parquet files again" if path.is_dir() else "make or fetch it again"
        raise DatasetError(f"{path}: cannot be read ({_line(error)}); {advice}") from error
    root = path if path.is_dir() else path.parent
    return _list(parts, split, str(path), path.resolve().stem, fingerprints.of_files(root, files))


def _split_name(file: Path, path: Path) -> str:
    first = re.split(r"[-_.]", file.name)[0]
    folders = file.relative_to(path).parts[:-1] if file != path else ()
    return next((name for name in (first, *folders) if is_split_name(name)), "")


def _parts(found: Any) -> dict[str, Any]:
    return dict(found) if isinstance(found, dict) else {"train": found}


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _list(parts: Mapping[str, Any], split: Split, source: str, name: str, fingerprint: str) -> Listing | None:
    chosen = choose_splits(parts, source)
    if split not in chosen:
        return None
    rows = parts[chosen[split]]
    image_column, image_feature = find_image_column(rows.features, source)
    label_column, notes = find_label_column(rows, image_column, source)
    train = parts[chosen.get("train", chosen[split])]
    labels, class_names = read_labels(rows, train, label_column, f"{source}: {{}} in a row of {split}")
    rows = rows.select_columns([image_column]).cast_column(image_column, image_feature)
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
        fingerprint=fingerprints.of_text("huggingface", split, image_column, label_column, fingerprint),
        notes=(*_say_splits(parts, chosen), *notes),
    )


def _say_splits(parts: Mapping[str, Any], chosen: Mapping[Split, str]) -> tuple[str, ...]:
    """Which split is which, where that is not plain, and which are not used."""
    said = [
        f"{split} images are those in {name} ({len(parts[name]):,})" for split, name in chosen.items() if split != name
    ]
    unused = [
        f"left out beside the splits: {name} ({len(parts[name]):,})"
        for name in sorted(set(parts) - set(chosen.values()))
    ]
    return (*([", ".join(said)] if said else []), *unused)


def _open_row(rows: Any, index: int, column: str) -> IO[bytes]:
    image = rows[index][column]
    if image is None:
        raise ValueError("no image in this row")
    return io.BytesIO(image["bytes"]) if image["bytes"] is not None else open_regular(Path(image["path"]))
