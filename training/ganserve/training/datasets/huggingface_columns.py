"""Which column of a table holds the images, and which the classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ganserve.contract.errors import ConfigError, DatasetError
from ganserve.contract.extras import install_advice

from .layouts import require_text

_IMAGE_COLUMNS = ("image", "img")
_LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "class_name", "category", "target", "y")
_MAX_CLASSES = 1000
_MIN_IMAGES_A_CLASS = 2


def import_library() -> Any:
    """Hugging Face's `datasets`. Raises ConfigError where it is missing."""
    try:
        import datasets
    except ImportError as error:
        raise ConfigError(
            f"data of Hugging Face and Parquet files need its library ({error}); {install_advice('huggingface')}"
        ) from error
    return datasets


@contextmanager
def silenced(library: Any) -> Iterator[None]:
    """The library prints nothing inside the `with`: what fails is told once, by the error."""
    verbosity, has_bars = library.logging.get_verbosity(), not library.are_progress_bars_disabled()
    library.logging.set_verbosity(library.logging.CRITICAL)
    if has_bars:
        library.disable_progress_bars()
    try:
        yield
    finally:
        library.logging.set_verbosity(verbosity)
        if has_bars:
            library.enable_progress_bars()


def find_image_column(features: Any, source: str) -> tuple[str, Any]:
    """The column of images, and the feature that gives their files. Raises DatasetError.

    It is one of the library's images or, in Parquet files that others wrote, one of bytes that is named as images are.
    """
    library = import_library()
    columns = [name for name, feature in features.items() if isinstance(feature, library.Image)]
    if not columns:
        columns = [name for name, feature in features.items() if _is_file(feature) and name in _IMAGE_COLUMNS]
    column = _chosen(columns, _IMAGE_COLUMNS, f"{source}: columns of images")
    if column is None:
        raise DatasetError(f"{source}: no column of images among {', '.join(features)}; cast one to datasets.Image()")
    return column, library.Image(decode=False)


def find_label_column(rows: Any, image_column: str, source: str) -> tuple[str | None, tuple[str, ...]]:
    """The column of classes, None where there is none, and what to say of columns that may be one.

    It is one of the library's classes; else one of whole numbers, texts or truths that is named as labels are; else the
    only one of texts or truths whose values repeat, as classes do. Raises DatasetError.
    """
    library = import_library()
    features = rows.features
    classes = [name for name, feature in features.items() if isinstance(feature, library.ClassLabel)]
    if classes:
        return _chosen(classes, _LABEL_COLUMNS, f"{source}: columns of classes"), ()
    kinds = {name: _kind(feature) for name, feature in features.items() if name != image_column}
    named = next((name for name in _LABEL_COLUMNS if kinds.get(name)), None)
    if named is not None:
        return named, ()
    clear = [name for name, kind in kinds.items() if kind in ("text", "truth") and _repeats(rows, name)]
    if len(clear) == 1:
        return clear[0], (f"classes are the values of the column {clear[0]}",)
    unclear = [name for name, kind in kinds.items() if kind]
    if not unclear:
        return None, ()
    return None, (
        f"none of the columns {', '.join(unclear)} is taken for labels; rename one `label` to train on its classes",
    )


def read_labels(rows: Any, train: Any, column: str | None, where: str) -> tuple[Sequence[int], tuple[str, ...]]:
    """The label of each of `rows`, and the class names, which are those of `train`; both are empty without a column.

    `where` begins the DatasetError for a value that is no class, which is put in place of its braces.
    """
    if column is None:
        return [], ()
    values = list(rows[column])
    feature = rows.features[column]
    if isinstance(feature, import_library().ClassLabel):
        names = require_text(feature.names, f"{column}: the class name")
        label_of = {number: number for number in range(len(names))}
    else:
        known = train[column] if column in train.features else values
        label_of = {value: label for label, value in enumerate(sorted(set(known) - {None}))}
        names = require_text(map(str, label_of), f"{column}: the class name")
    foreign = set(values) - set(label_of)
    if foreign:
        raise DatasetError(f"{where.format(f'{column} is {foreign.pop()}')}, which is no class")
    return [label_of[value] for value in values], names


def _kind(feature: Any) -> str:
    """What may be labels: `number`, `text` or `truth`; empty for anything else."""
    if not isinstance(feature, import_library().Value):
        return ""
    if feature.dtype.lstrip("u").startswith("int"):
        return "number"
    return {"string": "text", "large_string": "text", "bool": "truth"}.get(feature.dtype, "")


def _is_file(feature: Any) -> bool:
    """Whether it is of bytes, or of bytes and a path."""
    binary = ("binary", "large_binary")
    if isinstance(feature, dict):
        return set(feature) == {"bytes", "path"} and getattr(feature["bytes"], "dtype", "") in binary
    return getattr(feature, "dtype", "") in binary


def _repeats(rows: Any, column: str) -> bool:
    num_values = len(rows.unique(column))
    return 2 <= num_values <= min(_MAX_CLASSES, len(rows) // _MIN_IMAGES_A_CLASS)


def _chosen(columns: list[str], preferred: tuple[str, ...], what: str) -> str | None:
    if len(columns) < 2:
        return next(iter(columns), None)
    named = [name for name in preferred if name in columns]
    if not named:
        raise DatasetError(f"{what} {', '.join(columns)}; keep one, or name it {preferred[0]}")
    return named[0]
