"""Data sets in files of a format of their own, found by the names of the files in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ganserve.contract.errors import DatasetError

from .cifar import holds_cifar, load_cifar
from .dataset import ImageDataset, Split
from .huggingface import holds_huggingface, list_saved
from .idx import find_idx, load_idx
from .listing import Listing

_NUM_NAMED = 6


@dataclass(frozen=True)
class Table:
    """A data set of IDX files, of CIFAR's Python version, or of Hugging Face's library.

    `source` is what to give to have this one, `load` reads a split of it, None where it has no such split.
    """

    source: str
    load: Callable[[Split], Listing | ImageDataset | None]


def find_tables(folder: Path) -> list[Table]:
    """Those whose files lie in `folder` itself."""
    if holds_huggingface(folder):
        return [Table(str(folder), partial(list_saved, folder))]
    if holds_cifar(folder):
        return [Table(str(folder), partial(load_cifar, folder))]
    return [Table(str(files.images_path), partial(load_idx, files)) for files in find_idx(folder)]


def find_tables_below(folders: Iterable[Path]) -> list[Table]:
    """Those in any of `folders`, but not those inside of another, such as the splits of a saved one."""
    found: dict[Path, list[Table]] = {}
    for folder in sorted(folders):
        if not any(above in found for above in folder.parents) and (tables := find_tables(folder)):
            found[folder] = tables
    return [table for tables in found.values() for table in tables]


def only_table(tables: Sequence[Table], folder: Path) -> Table:
    """The one there is. Raises DatasetError where there are more, and names them."""
    if len(tables) == 1:
        return tables[0]
    more = f" and {len(tables) - _NUM_NAMED:,} more" if len(tables) > _NUM_NAMED else ""
    sources = ", ".join(table.source for table in tables[:_NUM_NAMED])
    raise DatasetError(f"{folder}: holds {len(tables)} data sets; give one of them: {sources}{more}")
