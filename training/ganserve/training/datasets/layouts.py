"""Which split and class an image belongs to, by its path inside the source.

    cat/1.png  dog/2.png                      classes
    1.png  2.png                              none
    train/cat/1.png  val/cat/2.png            splits, and in each either of the above
    cat/train/1.png  cat/val/2.png            the same
    pets/cat/1.png  pets/dog/2.png            one folder around all of it is looked through

A single class is the same as none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from ganserve.contract.errors import DatasetError

from .dataset import Split
from .splits import SPLITS, choose_splits, divides, is_split_name

UNUSABLE_TEST = "the test images cannot be used"
"""How the note of that begins."""

Inner = tuple[str, ...]
"""A path inside a source, as its parts."""

Place = tuple[Inner, Inner]
"""Where an image lies in the source, and, as its parts, in its split."""


@dataclass(frozen=True)
class Layout:
    """The paths of each split that there is, each with its label, in the order of the dataset.

    `notes` say what was made of the folders, where that is not plain; one line each.
    """

    splits: Mapping[Split, Sequence[tuple[Inner, int | None]]]
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def inner_path(path: str) -> Inner:
    """The parts of a path that is written with slashes, or with backslashes as on Windows.

    An absolute one begins with `/`.
    """
    slashed = path.replace("\\", "/")
    parts = tuple(part for part in slashed.split("/") if part not in ("", "."))
    return ("/", *parts) if slashed.startswith("/") else parts


def common_top(images: Iterable[Inner], *, through_splits: bool = False) -> Inner:
    """The folders, one in the other, that all images lie in, up to one that has the name of a split.

    With `through_splits` such a name is like any other. A folder that holds images and one more folder is a class with
    some of its images further down, and is not looked through.
    """
    paths = list(images)
    top = paths[0][:-1] if paths else ()
    for path in paths:
        shared = 0
        while shared < min(len(top), len(path) - 1) and top[shared] == path[shared]:
            shared += 1
        top = top[:shared]
    if not through_splits:
        top = tuple(takewhile(lambda name: not is_split_name(name), top))
    below = {path[len(top) : len(top) + 1] if len(path) > len(top) + 1 else () for path in paths}
    return top[:-1] if () in below and len(below) == 2 else top


def lay_out(images: Sequence[Inner], split: Split, source: str) -> Layout:
    """Finds splits and classes in the sorted paths of all images; test images have the classes of the training images.

    Raises:
        DatasetError: the paths can be read in two ways, or, where `split` is the test split, its images have classes
            that the training images have not.
    """
    top = common_top(images)
    by_split, notes = _divide([(path, path[len(top) :]) for path in images], source)
    if top and any(len(rest) > 1 for places in by_split.values() for _, rest in places):
        notes = (f"everything lies in {'/'.join(top)}/, which is looked through", *notes)
    by_split = _without_tops(by_split)
    names = {one: _class_folders(places, source) for one, places in by_split.items()}
    class_names = _class_names(names)
    if fault := _fault_of_test_classes(names, class_names):
        if split == "test":
            raise DatasetError(f"{source}: {fault}; give both or none")
        del by_split["test"]
        notes = (*notes, f"{UNUSABLE_TEST}: {fault}")
    label_of: dict[str | None, int] = {name: label for label, name in enumerate(class_names)}
    return Layout(
        splits={
            one: [(path, label_of.get(name)) for (path, _), name in zip(places, names[one], strict=True)]
            for one, places in by_split.items()
        },
        class_names=require_text(class_names, f"{source}: the name of class folder"),
        notes=notes,
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


def _divide(places: Sequence[Place], source: str) -> tuple[dict[Split, list[Place]], tuple[str, ...]]:
    """The images of each split without the split's folder in their paths, and what to say of it."""
    level = _level_of_splits(places)
    if level is None:
        return {"train": list(places)}, _doubts([rest for _, rest in places])
    split_names = [rest[level] if len(rest) > level + 1 else "" for _, rest in places]
    counts = Counter(split_names)
    chosen = choose_splits(counts, source)
    by_split = {
        split: [
            (path, rest[:level] + rest[level + 1 :])
            for (path, rest), name in zip(places, split_names, strict=True)
            if name == chosen[split]
        ]
        for split in SPLITS
        if split in chosen
    }
    said = [f"{split} images are those in {name}/ ({counts[name]:,})" for split, name in chosen.items()]
    unused = [
        f"{f'{name}/' if name else 'images in no folder'} ({count:,})"
        for name, count in sorted(counts.items())
        if name not in chosen.values()
    ]
    return by_split, (", ".join(said), *([f"left out beside the splits: {', '.join(unused)}"] if unused else []))


def _level_of_splits(places: Sequence[Place]) -> int | None:
    """0 where the outermost folders are splits, 1 where those in each class folder are, None where none are."""
    rests = [rest for _, rest in places]
    tops = {rest[0] for rest in rests if len(rest) > 1}
    if divides(tops) or (tops and all(len(rest) > 1 and is_split_name(rest[0]) for rest in rests)):
        return 0
    if all(len(rest) > 2 and is_split_name(rest[1]) for rest in rests) and divides({rest[1] for rest in rests}):
        return 1
    return None


def _doubts(rests: Sequence[Inner]) -> tuple[str, ...]:
    """What to say where one class folder of several has the name of a split."""
    tops = {rest[0] for rest in rests if len(rest) > 1}
    odd = sorted(name for name in tops if is_split_name(name))
    return tuple(f"{name}/ is taken for a class, because of the other folders beside it" for name in odd)


def _without_tops(by_split: Mapping[Split, list[Place]]) -> dict[Split, list[Place]]:
    """Looks through folders around all training images, and in the test images through as many."""
    reference = next(iter(by_split.values()))
    depth = len(common_top((rest for _, rest in reference), through_splits=True))
    trimmed = {}
    for split, places in by_split.items():
        num_dropped = min(depth, len(common_top((rest for _, rest in places), through_splits=True)))
        trimmed[split] = [(path, rest[num_dropped:]) for path, rest in places]
    return trimmed


def _class_folders(places: Sequence[Place], source: str) -> list[str | None]:
    """The class folder of each image. Raises DatasetError where only some are in one."""
    names = [rest[0] if len(rest) > 1 else None for _, rest in places]
    strays = [path for (path, _), name in zip(places, names, strict=True) if name is None]
    if strays and len(strays) < len(places):
        raise DatasetError(
            f"{source}: {'/'.join(strays[0])} is in no class folder, others are; put all images into "
            "one folder for each class, or all into one"
        )
    return names


def _class_names(names: Mapping[Split, Sequence[str | None]]) -> tuple[str, ...]:
    """Those of the training images, sorted; of the test images where there are no others."""
    known = {name for name in names.get("train", names.get("test", ())) if name is not None}
    return tuple(sorted(known)) if len(known) > 1 else ()


def _fault_of_test_classes(names: Mapping[Split, Sequence[str | None]], class_names: Sequence[str]) -> str:
    """Empty where the test images have no other classes than the training images."""
    foreign = {name or "no class" for name in names.get("test", ())} - set(class_names)
    if "train" not in names or not class_names or not foreign:
        return ""
    return f"test images of {min(foreign)}, and no training images of it"
