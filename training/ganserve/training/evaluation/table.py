"""The scores of an evaluation, as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

from ganserve.training.scores import READINGS, ClassScores, Scores

_MOST_CLASSES: Final = 20


def print_table(scores: Scores, console: Console) -> None:
    """Prints each score with its meaning, below it what it is held against, and then what was found of each class."""
    table = _table("score", "value", "better", "meaning", right=("value",))
    for name, value in scores.metrics().items():
        reading = READINGS[name]
        table.add_row(f"  {name}" if reading.beside else name, f"{value:.4g}", reading.better, reading.meaning)
    console.print(table)
    if scores.classes:
        console.print()
        _print_classes(scores.classes, console)


def _print_classes(classes: Sequence[ClassScores], console: Console) -> None:
    """Of many classes only the worst."""
    shown = classes if len(classes) <= _MOST_CLASSES else sorted(classes, key=_quality)[:_MOST_CLASSES]
    headings = ("target", "samples", "GAN-test", "judge")
    table = _table("class", *headings, right=headings)
    for each in shown:
        shares = (each.target_share, each.share, each.gan_test, each.judge_accuracy)
        table.add_row(each.name, *("" if share is None else f"{share:.1%}" for share in shares))
    console.print(table, markup=False)
    if len(shown) < len(classes):
        console.print(f"the worst {len(shown)} of {len(classes):,} classes", highlight=False)


def _quality(each: ClassScores) -> float:
    return each.share / max(each.target_share, 1e-12) if each.gan_test is None else each.gan_test


def _table(*headings: str, right: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="right" if heading in right else "left")
    return table
