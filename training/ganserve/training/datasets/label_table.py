"""`labels.csv`, the labels beside the images that `ganserve generate --out folder/` writes, or that a person wrote.

Its first line names the columns, of which `file`, `label` and `class` count: a path inside the folder, a class number
and a class name. One of the last two is enough, and some other names of them are known. Commas, semicolons or tabs
divide the columns, as spreadsheets have it.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping

from ganserve.contract.errors import DatasetError

from .label_index import LabelIndex
from .layouts import Inner, inner_path, require_text

TABLE_NAME = "labels.csv"
RECIPE_NAME = "samples.json"
"""Lies beside it and tells how the images were made; it is of no use here."""


_DELIMITERS = (",", ";", "\t")
_COLUMNS = {
    "file": ("file", "filename", "image", "path"),
    "label": ("label",),
    "class": ("class", "name", "category"),
}


def parse_table(data: bytes, source: str) -> LabelIndex | None:
    """Reads `labels.csv`; None for a table of other columns. A single class is the same as none.

    Raises:
        DatasetError: it is no table in UTF-8, or a row of it gives no class or contradicts another.
    """
    text = _decode(data, source)
    delimiter, columns = _find_columns(text)
    if not _is_enough(columns):
        return None
    try:
        table = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        rows = [{role: row[column] for role, column in columns.items()} for row in table if any(row.values())]
    except csv.Error as error:
        raise DatasetError(f"{source}: its {TABLE_NAME} is no table ({error}); mend or remove it") from error
    if "class" not in columns and not any(re.fullmatch("-?[0-9]+", row["label"] or "") for row in rows):
        rows = [{"file": row["file"], "class": row["label"]} for row in rows]
    entries = [(inner_path(row["file"] or ""), row.get("label"), row.get("class")) for row in rows]
    keyed = {path: _class(path, label, name, source) for path, label, name in entries}
    if len(keyed) < len(entries):
        raise DatasetError(f"{source}: its {TABLE_NAME} names a file twice; keep one row a file")
    classes = sorted(set(keyed.values()))
    _refuse_contradictions(classes, source)
    if len(classes) < 2:
        return LabelIndex(TABLE_NAME, None, ())
    names = require_text((name for _, name in classes), f"{source}: in its {TABLE_NAME} the class name")
    label_of = {found: label for label, found in enumerate(classes)}
    return LabelIndex(TABLE_NAME, {path: label_of[found] for path, found in keyed.items()}, names)


def say_columns(data: bytes, source: str) -> str:
    """Why `parse_table` takes no labels from a table, and what would mend it. Raises DatasetError."""
    text = _decode(data, source)
    delimiter, _ = _find_columns(text)
    found = ", ".join(_header(text, delimiter))[:200]
    file, label = (" or ".join(names) for names in (_COLUMNS["file"], _COLUMNS["label"] + _COLUMNS["class"]))
    return (
        f"{source}: its {TABLE_NAME} has {f'the columns {found}' if found else 'no columns'}, where one of {file} "
        f"and one of {label} were expected; rename them, or remove the table"
    )


def _decode(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{source}: its {TABLE_NAME} is not UTF-8 ({error.reason}); save it as UTF-8") from error


def _find_columns(text: str) -> tuple[str, dict[str, str]]:
    """What divides the columns, and the name of the one for each of `_COLUMNS` that is there."""
    found = {delimiter: _by_role(_header(text, delimiter)) for delimiter in _DELIMITERS}
    widest = max(_DELIMITERS, key=lambda delimiter: len(_header(text, delimiter)))
    delimiter = next((one for one, columns in found.items() if _is_enough(columns)), widest)
    return delimiter, found[delimiter]


def _is_enough(columns: Mapping[str, str]) -> bool:
    return "file" in columns and len(columns) > 1


def _header(text: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
    except csv.Error:
        return []


def _by_role(header: list[str]) -> dict[str, str]:
    """A column of the first of the known names, or the only one of the others."""
    columns = {}
    for role, (first, *others) in _COLUMNS.items():
        named = {column.strip().casefold(): column for column in header}
        known = [named[name] for name in others if name in named]
        if first in named:
            columns[role] = named[first]
        elif len(known) == 1:
            columns[role] = known[0]
    return columns


def _class(path: Inner, label: str | None, name: str | None, source: str) -> tuple[int, str]:
    """What a class is sorted by, its number where it has one, and its name."""
    if label is None and name:
        return 0, name
    if label is None or not re.fullmatch(r"[0-9]{1,9}", label):
        raise DatasetError(
            f"{source}: its {TABLE_NAME} has no class number for {'/'.join(path)}, but {label or name!r}"
        )
    return int(label), name or str(int(label))


def _refuse_contradictions(classes: list[tuple[int, str]], source: str) -> None:
    has_numbers = any(number for number, _ in classes)
    for what, values in (("number", [number for number, _ in classes]), ("name", [name for _, name in classes])):
        value, count = Counter[object](values).most_common(1)[0]
        if count > 1 and (what == "name" or has_numbers):
            raise DatasetError(f"{source}: its {TABLE_NAME} gives two classes the {what} {value}; mend it")
