"""What an evaluation finds, and the table that shows it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from rich.console import Console
from rich.table import Table

ScoreValue = float | list[float]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Samples against real images, in the features of an `FeatureExtractor`.

    The distances, `fid_domain` to `coverage`, are between equally many samples and real images; the figures of classes
    are over all samples.
    """

    num_images: int
    """Samples drawn."""

    fid_domain: float
    fid_floor: float
    """The same distance between two halves of the real images: about what a perfect generator would have."""

    kid: float
    precision: float
    recall: float
    density: float
    coverage: float

    gan_test: float | None
    """Share of samples that the classifier takes for the class asked for; None without labels."""

    class_kl: float | None
    """Divergence of `class_shares` from the classes of the real images, in nats; None without labels."""

    class_shares: tuple[float, ...]
    """Share of samples that the classifier takes for each class; empty without labels."""

    diversity: float
    """Mean distance between two samples over the mean distance between two real images."""

    fid_inception: float | None
    """FID in Inception's features; None where its weights are not at hand."""

    def to_dict(self) -> dict[str, ScoreValue]:
        """By name, without those that are None or empty."""
        values = dataclasses.asdict(self) | {"class_shares": list(self.class_shares)}
        return {name: value for name, value in values.items() if value is not None and value != []}


class _Reading(NamedTuple):
    better: Literal["lower", "higher", "near 1"]
    meaning: str


_READINGS: Final = {
    "fid_domain": _Reading("lower", "Fréchet distance to real images, in a classifier of this data"),
    "kid": _Reading("lower", "kernel distance to real images, in the same features"),
    "precision": _Reading("higher", "share of samples that lie among real images"),
    "recall": _Reading("higher", "share of real images that lie among samples"),
    "density": _Reading("higher", "how deep among real images samples lie"),
    "coverage": _Reading("higher", "share of real images with a sample nearby"),
    "diversity": _Reading("near 1", "how far samples lie apart, over how far real images do"),
    "gan_test": _Reading("higher", "share of samples that are the class asked for"),
    "class_kl": _Reading("lower", "how far the classes of samples are from the data's, in nats"),
    "fid_inception": _Reading("lower", "Fréchet distance in Inception's features"),
}


def print_table(scores: Scores | Mapping[str, ScoreValue], console: Console) -> None:
    """Prints each score with its meaning and the floor beside the distance that it belongs to; a mapping as `to_dict`
    makes it, such as a line of a run's evaluations, will do."""
    values = scores.to_dict() if isinstance(scores, Scores) else scores
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("score")
    table.add_column("value", justify="right")
    table.add_column("better")
    table.add_column("meaning")
    for name, reading in _READINGS.items():
        if name in values:
            table.add_row(name, _number(values[name]), reading.better, reading.meaning)
        if name == "fid_domain" and "fid_floor" in values:
            table.add_row("  floor", _number(values["fid_floor"]), "", "the same between two halves of the real images")
    console.print(table)
    shares = values.get("class_shares")
    if isinstance(shares, list):
        console.print(f"classes of samples  {'  '.join(f'{share:.1%}' for share in shares)}", highlight=False)


def _number(value: ScoreValue) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else ""
