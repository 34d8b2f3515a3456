"""Which split and class an image belongs to, by its path inside the source.

    cat/1.png  dog/2.png                      classes
    1.png  2.png                              none
    train/cat/1.png  test/cat/2.png           splits, and in each either of the above

A single class is the same as none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ganserve.contract.errors import DatasetError

from .dataset import Split
from .image_files import IMAGE_SUFFIXES

Inner = tuple[str, ...]
"""A path inside a source, as its parts."""

SPLITS: Final[tuple[Split, ...]] = ("train", "test")


@dataclass(frozen=True)
class Layout:
    """The paths of each split that there is, each with its label, in the order of the dataset."""

    splits: Mapping[Split, Sequence[tuple[Inner, int | None]]]
    class_names: tuple[str, ...]


def inner_path(path: str) -> Inner:
    """The parts of a path that is written with slashes; an absolute one begins with `/`."""
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    return ("/", *parts) if path.startswith("/") else parts


def images_among(paths: Iterable[Inner], source: str) -> list[Inner]:
    """The image files, sorted, without hidden ones. Raises DatasetError for a path that leads out of the source."""
    images = sorted(path for path in paths if _is_image(path))
    for path in images:
        if path[0] == "/" or ".." in path:
            raise DatasetError(f"{source}: {'/'.join(path)} leads out of it; make it again with paths inside it")
    return images


def lay_out(images: Sequence[Inner], source: str) -> Layout:
    """Finds splits and classes. Test images have the classes of the training images. Raises DatasetError."""
    if not images:
        suffixes = " ".join(sorted(IMAGE_SUFFIXES))
        raise DatasetError(
            f"{source}: no images in it; put them ({suffixes}) into one folder for each class, or all into one"
        )
    has_splits = _has_splits(images)
    by_split: dict[Split, list[Inner]] = {"train": list(images)}
    if has_splits:
        by_split = {split: [path for path in images if path[0] == split] for split in SPLITS}
    classes = {
        split: [_class_name(path[1:] if has_splits else path) for path in paths]
        for split, paths in by_split.items()
        if paths
    }
    for split, names in classes.items():
        _refuse_strays(by_split[split], names, source)
    class_names = _class_names(classes, source)
    label_of: dict[str | None, int] = {name: label for label, name in enumerate(class_names)}
    return Layout(
        splits={
            split: [(path, label_of.get(name)) for path, name in zip(by_split[split], names, strict=True)]
            for split, names in classes.items()
        },
        class_names=class_names,
    )


def require_text(names: Iterable[str], what: str) -> tuple[str, ...]:
    """The class names, all of which can be written as UTF-8; `what` begins the message of the DatasetError."""
    checked = tuple(names)
    for name in checked:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise DatasetError(f"{what} {name!r} is not UTF-8; rename it") from error
    return checked


def common_top(images: Sequence[Inner]) -> Inner:
    """The one folder that all class folders or splits lie in; empty where there is none."""
    tops = {path[0] for path in images}
    if len(tops) != 1 or _has_splits(images) or any(len(path) < 3 for path in images):
        return ()
    return (tops.pop(),)


def _is_image(path: Inner) -> bool:
    is_hidden = any(part.startswith((".", "__MACOSX")) and part != ".." for part in path)
    return bool(path) and not is_hidden and path[-1].lower().endswith(tuple(IMAGE_SUFFIXES))


def _has_splits(images: Sequence[Inner]) -> bool:
    return all(len(path) >= 2 and path[0] in SPLITS for path in images)


def _class_name(path: Inner) -> str | None:
    return path[0] if len(path) > 1 else None


def _refuse_strays(paths: Sequence[Inner], names: Sequence[str | None], source: str) -> None:
    strays = [path for path, name in zip(paths, names, strict=True) if name is None]
    if strays and len(strays) < len(paths):
        raise DatasetError(
            f"{source}: {'/'.join(strays[0])} is in no class folder, others are; put all images into "
            "one folder for each class, or all into one"
        )


def _class_names(classes: Mapping[Split, Sequence[str | None]], source: str) -> tuple[str, ...]:
    """Those of the training images, sorted; of the test images where there are no others."""
    known = {name for name in classes.get("train", classes.get("test", ())) if name is not None}
    require_text(known, f"{source}: the name of class folder")
    if len(known) < 2:
        return ()
    foreign = {name or "no class" for name in classes.get("test", ())} - known
    if foreign:
        raise DatasetError(f"{source}: test images of {min(foreign)}, and no training images of it; give both or none")
    return tuple(sorted(known))
