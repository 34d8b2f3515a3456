"""`dataset.json`, the labels beside the images of StyleGAN's zips.

The format is what `dataset_tool.py` of https://github.com/NVlabs/stylegan3 writes: `{"labels": [[path, class], ...]}`,
or null for no labels. `ganserve data pack` adds `class_names`, `split` and `digest`, which other readers pass over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ganserve.contract.errors import DatasetError

from .dataset import Split
from .layouts import Inner, Layout, inner_path, require_text

INDEX_NAME = "dataset.json"
_INDEX_BYTES = 16 * 2**20
_INDEX_BYTES_AN_IMAGE = 512


@dataclass(frozen=True)
class LabelIndex:
    """What `dataset.json` says.

    Attributes:
        labels: a class for each path; None where the images have none.
        class_names: the name of each class number; empty where the file has no names.
        split: which split all of the images are.
        digest: of the images, as ImageDataset has it; empty where the file has none.
    """

    labels: dict[Inner, int] | None
    class_names: tuple[str, ...]
    split: Split
    digest: str

    def lay_out(self, images: Sequence[Inner], source: str) -> Layout:
        """Gives each image its label. Without names, a class is a number that occurs. Raises DatasetError."""
        if self.labels is None:
            return Layout({self.split: [(path, None) for path in images]}, ())
        _refuse_differences(set(images), set(self.labels), source)
        numbers = range(len(self.class_names)) if self.class_names else sorted(set(self.labels.values()))
        label_of = {number: label for label, number in enumerate(numbers)}
        unknown = {number for number in self.labels.values() if number not in label_of}
        if unknown:
            raise DatasetError(f"{source}: its {INDEX_NAME} has class {min(unknown)}, but {len(numbers)} class names")
        return Layout(
            splits={self.split: [(path, label_of[self.labels[path]]) for path in images]},
            class_names=self.class_names or tuple(map(str, numbers)),
        )


def max_index_bytes(num_images: int) -> int:
    """How large the `dataset.json` of so many images may be; parsed, JSON can take thirty times its bytes."""
    return _INDEX_BYTES + _INDEX_BYTES_AN_IMAGE * num_images


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


def _refuse_differences(images: set[Inner], labelled: set[Inner], source: str) -> None:
    for paths, fault in ((images - labelled, "have no label in its"), (labelled - images, "are missing but in its")):
        if paths:
            raise DatasetError(f"{source}: {len(paths):,} images {fault} {INDEX_NAME}, such as {'/'.join(min(paths))}")
