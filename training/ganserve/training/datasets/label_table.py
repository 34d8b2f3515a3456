"""`labels.csv`, the labels beside the images that `ganserve generate --out folder/` writes.

Its first line names the columns, of which `file`, `label` and `class` count: a path inside the folder, a class number
and a class name. One of the last two is enough.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter

from ganserve.contract.errors import DatasetError

from .label_index import LabelIndex
from .layouts import Inner, inner_path, require_text

TABLE_NAME = "labels.csv"
RECIPE_NAME = "samples.json"
"""Lies beside it and tells how the images were made; it is of no use here."""


def parse_table(data: bytes, source: str) -> LabelIndex | None:
    """Reads `labels.csv`; None for a table of other columns. A single class is the same as none.

    Raises:
        DatasetError: it is no table, or a row of it gives no class or contradicts another.
    """
    try:
        rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        columns = set(rows.fieldnames or ())
        if "file" not in columns or not columns & {"label", "class"}:
            return None
        entries = [(inner_path(row["file"] or ""), row.get("label"), row.get("class")) for row in rows]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{source}: its {TABLE_NAME} is no table ({error}); mend or remove it") from error
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
