"""`ganserve data inspect` and `ganserve data pack`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ganserve.console import open_console
from ganserve.contract.errors import DatasetError
from ganserve.contract.resizing import ResizeMode
from ganserve.training.balance import balance_hint
from ganserve.training.datasets import Resize, Split, load, refuse_inside
from ganserve.training.datasets.inspection import Inspection, inspect_source
from ganserve.training.datasets.packing import check_target, pack_dataset

_MOST_VALUES: Final = 12
_MOST_CLASSES: Final = 40
_MOST_FAULTS: Final = 20
_TITLES: Final[dict[Split, str]] = {"train": "trains on", "test": "tests on"}


def inspect(
    source: str, *, size: str | None = None, resize_mode: ResizeMode = "stretch", split: Split | None = None
) -> int | None:
    """Show what a source of images holds, every file in it that cannot be used, and what would be trained on.

        ganserve data inspect photos/

    Exits with 3 where there are bad files, or it cannot be trained on.

    Parameters
    ----------
    source
        What `ganserve train --data` takes.
    size
        One side in pixels, such as 32, or height and width, such as 32x48. With it, other sizes are no fault.
    resize_mode
        How images reach --size.
    split
        The split to look at. Left out: all that there are.
    """
    console = open_console()
    with _progress(console, "looking") as on_progress:
        inspections = inspect_source(source, split=split, resize=_resize(size, resize_mode), on_progress=on_progress)
    for inspection in inspections:
        console.print(_table(_facts(inspection)))
        console.print()
    console.print(_table(_conclusion(inspections)))
    is_sound = not any(inspection.faults or inspection.obstacle for inspection in inspections)
    return None if is_sound else DatasetError.exit_code


def pack(
    source: str,
    out: Path,
    *,
    size: str | None = None,
    resize_mode: ResizeMode = "stretch",
    skip_bad: bool = False,
    split: Split = "train",
) -> None:
    """Pack a source into one zip of PNGs with labels, which StyleGAN's tools read too.

        ganserve data pack photos/ photos.zip --size 64 --resize-mode crop

    Parameters
    ----------
    source
        What `ganserve train --data` takes.
    out
        The zip to write. What is there is never overwritten.
    size
        One side in pixels, such as 32, or height and width, such as 32x48. Left out: as they are.
    resize_mode
        How images reach --size: `stretch` scales both sides, `crop` cuts the centre out first, `pad` shrinks
        what is too large and centres it on black.
    skip_bad
        Leave bad images out.
    split
        The split to pack.
    """
    check_target(out)
    refuse_inside(out, source, "--out")
    console = open_console()
    with _progress(console, "reading") as on_progress:
        dataset = load(
            source, split=split, resize=_resize(size, resize_mode), skip_bad=skip_bad, on_progress=on_progress
        )
    with _progress(console, "packing") as on_progress:
        pack_dataset(dataset, out, split=split, on_progress=on_progress)
    num_images, height, width, num_channels = dataset.images.shape
    lines = [
        f"packed   {num_images:,} images of {width}×{height}, {_colour(num_channels)}, {_classes(dataset.num_classes)}",
        f"digest   {dataset.digest}",
        f"file     {out}",
        *(f"note     {note}" for note in dataset.notes),
    ]
    if dataset.skipped:
        lines.append(f"skipped  {len(dataset.skipped):,}: {_some(dataset.skipped)}")
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _resize(size: str | None, resize_mode: ResizeMode) -> Resize | None:
    return None if size is None else Resize.parse(size, resize_mode)


@contextmanager
def _progress(console: Console, title: str) -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None)
        yield lambda num_done, total: progress.update(task, completed=num_done, total=total)


def _table(facts: Iterable[tuple[str, str]]) -> Table:
    """One row a fact."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for fact, value in facts:
        table.add_row(Text(fact), Text(value))
    return table


def _facts(inspection: Inspection) -> Iterator[tuple[str, str]]:
    sizes = {f"{width}×{height}": count for (height, width), count in inspection.sizes.items()}
    yield "split", inspection.split
    yield "images", f"{inspection.num_images:,}"
    yield "sizes", _counts(sizes)
    yield "modes", _counts(inspection.modes)
    if inspection.faults:
        yield "bad files", f"{len(inspection.faults):,}"
        for fault in inspection.faults[:_MOST_FAULTS]:
            yield "", str(fault)
        if len(inspection.faults) > _MOST_FAULTS:
            yield "", f"and {len(inspection.faults) - _MOST_FAULTS:,} more"
    yield "usable", _verdict(inspection)


def _conclusion(inspections: Sequence[Inspection]) -> Iterator[tuple[str, str]]:
    """What training and evaluation would take, and what they would not."""
    by_split = {inspection.split: inspection for inspection in inspections}
    for split, title in _TITLES.items():
        inspection = by_split.get(split)
        if inspection is None:
            yield title, f"no {split} images were looked at" if split == "train" else "no images of its own"
            continue
        height, width, num_channels = inspection.shape
        num_classes = len(inspection.class_counts)
        is_usable = not inspection.faults and not inspection.obstacle
        images = f"{inspection.num_images:,} image{'s' if inspection.num_images > 1 else ''}"
        form = f"{images} of {width}×{height}, {_colour(num_channels)}, {_classes(num_classes)}"
        yield title, form if is_usable else f"none of {images}, as they are; see `usable`"
        if num_classes:
            yield "", _labels(inspection.class_counts)
        if split == "train" and (hint := balance_hint(inspection.class_counts.values())):
            yield "", f"{hint}; --balance-classes trains on classes alike"
    notes = dict.fromkeys(note for inspection in inspections for note in inspection.notes)
    for index, note in enumerate(notes):
        yield "" if index else "notes", note


def _verdict(inspection: Inspection) -> str:
    height, width, num_channels = inspection.shape
    sized = " or give --size" if any(fault.is_size for fault in inspection.faults) else ""
    if inspection.faults and inspection.obstacle:
        return f"no; mend the bad files{sized}; --skip-bad does not help: {inspection.obstacle}"
    if inspection.faults:
        return f"no; mend or remove the bad files{sized}, or train with --skip-bad"
    if inspection.obstacle:
        return f"no; {inspection.obstacle}"
    return f"yes, as {width}×{height}, {_colour(num_channels)}"


def _counts(counts: Mapping[str, int], most: int = _MOST_VALUES) -> str:
    return _some([f"{value} ({count:,})" for value, count in counts.items()], most)


def _labels(class_counts: Mapping[str, int]) -> str:
    """How many images each class has, with its label before its name where the name is another number."""
    names = list(class_counts)
    is_clear = names == [str(label) for label in range(len(names))] or not any(name.isdecimal() for name in names)
    if is_clear:
        return _counts(class_counts, _MOST_CLASSES)
    return _counts({f"label {label}: {name}": class_counts[name] for label, name in enumerate(names)}, _MOST_CLASSES)


def _some(values: Iterable[str], most: int = _MOST_VALUES) -> str:
    listed = list(values)
    more = f" and {len(listed) - most:,} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def _colour(num_channels: int) -> str:
    return "greyscale" if num_channels == 1 else "RGB"


def _classes(num_classes: int) -> str:
    return f"{num_classes:,} classes" if num_classes else "no classes"
