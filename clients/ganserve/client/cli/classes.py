"""The flags that say how many samples of which classes, for every command that takes samples."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from ganserve.client._queries.labels import CountsLike, LabelsLike
from ganserve.contract.errors import ConfigError

from .label_text import explain, parse_counts, parse_labels


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How many samples, and of which classes, as arguments of a call."""

    n: int
    labels: LabelsLike | None
    counts: CountsLike | None


def read_classes(
    n: int | None, labels: str | None, counts: str | None, class_names: Sequence[str], default_n: int | None = None
) -> Wanted:
    """What the flags mean for a model of these classes. Says on standard error how numbers were read, where need be.

    Raises:
        ConfigError: a text that cannot be read, or no number of samples, or two.
    """
    counted = parse_counts(counts, class_names)
    if counted is not None and n is not None:
        raise ConfigError("--counts say how many samples there are; leave -n out, or give --labels in their place")
    if counted is not None:
        n = sum(counted.values())
    elif n is None:
        n = default_n
    if n is None:
        raise ConfigError("give -n, the number of samples, or --counts, as in --counts dog=1100,frog=1400")
    wanted = Wanted(n=n, labels=parse_labels(labels, class_names), counts=counted)
    if reading := explain(labels, class_names) or explain(counts, class_names):
        print(f"ganserve: {reading}", file=sys.stderr)
    return wanted
