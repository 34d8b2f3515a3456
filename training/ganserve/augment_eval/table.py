"""The figures of a study as tables: for a terminal, and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from rich.console import Console

from .findings import ArmFindings, SizeFindings

HEADINGS: Final = ("arm", "real", "synthetic", "validation loss", "accuracy", "balanced accuracy", "lowest recall")
_MOST_CLASSES: Final = 12


def rows_of(found: SizeFindings, class_names: Sequence[str]) -> list[list[str]]:
    """A row an arm, as `HEADINGS` has it.

    Images are those of an epoch, the fewest and the most of a class; accuracies are mean and standard deviation over
    seeds; the recall is that of the worst class. The arm that validation images choose is marked.
    """
    return [_row(each, class_names, is_best=each is found.best) for each in found.arms]


def print_tables(found: SizeFindings, class_names: Sequence[str], console: Console) -> None:
    """Prints the arms of a size, and below them the recall of each class, of many the most different."""
    console.print(f"\n{found.title}, {found.num_steps:,} steps each", style="bold", highlight=False, markup=False)
    _print(console, HEADINGS, rows_of(found, class_names))
    shown = _shown_classes(found)
    console.print()
    rows = [[each.arm.name, *(str(each.recalls[label]).replace("%", "") for label in shown)] for each in found.arms]
    _print(console, ("recall of class, %", *(class_names[label] for label in shown)), rows)
    if len(shown) < len(class_names):
        console.print(f"the {len(shown)} of {len(class_names)} classes that differ most", highlight=False)


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _row(each: ArmFindings, class_names: Sequence[str], *, is_best: bool) -> list[str]:
    recalls = [recall.mean for recall in each.recalls]
    worst = int(np.argmin(recalls))
    return [
        each.arm.name + (" *" if is_best else ""),
        _range([quota.real for quota in each.quotas]),
        _range([quota.synthetic for quota in each.quotas]),
        f"{each.validation_loss:.3f}",
        str(each.accuracy),
        str(each.balanced_accuracy),
        f"{recalls[worst]:.1%} of {class_names[worst]}",
    ]


def _range(counts: Sequence[int]) -> str:
    fewest, most = min(counts), max(counts)
    return f"{most:,}" if fewest == most else f"{fewest:,}–{most:,}"


def _shown_classes(found: SizeFindings) -> list[int]:
    means = np.array([[recall.mean for recall in each.recalls] for each in found.arms])
    most_different = np.argsort(means.min(axis=0) - means.max(axis=0), kind="stable")[:_MOST_CLASSES]
    return sorted(most_different.tolist())


def _print(console: Console, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints columns, the first flush left; rows are not broken, so that a file or a wider terminal has them whole."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for cells in (headings, *rows):
        first, *others = (f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        line = "  ".join([f"{first.strip():<{widths[0]}}", *others])
        console.print(line, soft_wrap=True, highlight=False, markup=False, style="bold" if cells is headings else None)
