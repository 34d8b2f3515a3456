"""`dataset.json`, the labels beside the images of StyleGAN's zips.

The format is what `dataset_tool.py` of https://github.com/NVlabs/stylegan3 writes: `{"labels": [[path, class], ...]}`,
or null for no labels. `ganserve data pack` adds `class_names`, `split` and `digest`, which other readers pass over.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ganserve.contract.errors import DatasetError

from .label_index import LabelIndex
from .layouts import Inner, inner_path, require_text

INDEX_NAME = "dataset.json"


def parse_index(data: bytes, source: str) -> LabelIndex | None:
    """Reads `dataset.json`; None for JSON of another kind. Raises DatasetError for broken labels."""
    try:
        index = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{source}: its {INDEX_NAME} is not JSON ({error}); mend or remove it") from error
    if not isinstance(index, dict) or "labels" not in index:
        return None
    digest = index.get("digest")
    return LabelIndex(
        file_name=INDEX_NAME,
        labels=None if index["labels"] is None else _labels(index["labels"], source),
        class_names=_class_names(index.get("class_names"), source),
        split="test" if index.get("split") == "test" else "train",
        digest=digest if isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest) else "",
    )


def _labels(pairs: Any, source: str) -> dict[Inner, int]:
    wrong = f"{source}: the labels in its {INDEX_NAME} are not pairs of a path and a class number"
    if not isinstance(pairs, list):
        raise DatasetError(wrong)
    labels: dict[Inner, int] = {}
    for pair in pairs:
        match pair:
            case [str(path), int(label)] if not isinstance(label, bool) and label >= 0:
                labels[inner_path(path)] = label
            case _:
                raise DatasetError(f"{wrong}: {str(pair)[:100]}")
    return labels


def _class_names(names: Any, source: str) -> tuple[str, ...]:
    """Empty for what is not a list of different names: another tool's key, which means something else."""
    is_ours = isinstance(names, list) and all(isinstance(name, str) for name in names) and len(set(names)) == len(names)
    return require_text(names, f"{source}: in its {INDEX_NAME} the class name") if is_ours else ()
