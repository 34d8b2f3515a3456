"""Label policies: which class the index `i` of a seed gets.

A policy draws from Philox words under its own tag, so choosing another policy never changes the latents.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.latents import draw_words
from ganserve.v1.generator_pb2 import ClassList, ClassReference, LabelPolicy, Weighted

_LABEL_TAG: Final = int.from_bytes(b"gan-lab1", "big")

Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelSampler:
    """A label policy with its classes looked up, ready for any range of indices.

    Attributes:
        kind: what the labels come from; `cycle` draws nothing, the others need a seed.
        num_classes: number of classes.
        cycle: the labels that indices go through, for `cycle`.
        edges: cumulative weights in label order, for `weighted`.
    """

    kind: Literal["cycle", "balanced", "uniform", "weighted"]
    num_classes: int
    cycle: Labels | None = None
    edges: NDArray[np.float64] | None = None

    def sample(self, seed: int | None, first_index: int, count: int) -> Labels:
        """Labels of indices `first_index … first_index + count - 1`, int64 (count,). Only `cycle` takes no seed."""
        if self.cycle is not None:
            start = first_index % len(self.cycle)
            return self.cycle[(start + np.arange(count)) % len(self.cycle)]
        if seed is None:
            raise self._needs_seed()
        if self.kind == "balanced":
            return _balanced(self.num_classes, seed, first_index, count)
        words = draw_words(seed, _LABEL_TAG, first_index, count, 1)[:, 0]
        if self.edges is None:
            return (((words >> np.uint64(32)) * np.uint64(self.num_classes)) >> np.uint64(32)).astype(np.int64)
        return _weighted(self.edges, words)

    def check_seedless(self) -> None:
        """Raises InvalidRequestError unless labels can be had without a seed, as explicit latents need them."""
        if self.cycle is None:
            raise self._needs_seed()

    def _needs_seed(self) -> InvalidRequestError:
        return InvalidRequestError(
            f"the label policy {self.kind!r} draws from a seed, and explicit latents have none; "
            "give one class, or a list with a class a row",
            field="query.labels",
        )


def open_policy(policy: LabelPolicy, class_names: Sequence[str]) -> LabelSampler:
    """Looks up the classes of a policy. An empty policy means balanced.

    Args:
        policy: the policy.
        class_names: the generator's classes in label order, at least one.

    Raises:
        InvalidRequestError: a class that does not exist, or weights that cannot be used.
    """
    labels = {name: label for label, name in enumerate(class_names)}
    kind = policy.WhichOneof("policy")
    if kind == "one":
        label = _resolve(policy.one, labels, "query.labels.one")
        return LabelSampler(kind="cycle", num_classes=len(labels), cycle=np.array([label]))
    if kind == "list":
        return LabelSampler(kind="cycle", num_classes=len(labels), cycle=_open_list(policy.list, labels))
    if kind == "weighted":
        return LabelSampler(kind="weighted", num_classes=len(labels), edges=_open_weights(policy.weighted, labels))
    return LabelSampler(kind="uniform" if kind == "uniform" else "balanced", num_classes=len(labels))


def sample_labels(
    policy: LabelPolicy, class_names: Sequence[str], seed: int | None, first_index: int, count: int
) -> Labels:
    """Labels of indices `first_index … first_index + count - 1` under a policy; see `open_policy`."""
    return open_policy(policy, class_names).sample(seed, first_index, count)


def list_names(names: Sequence[str], most: int = 20) -> str:
    """Names as a message lists them, cut short where there are many."""
    listed = ", ".join(repr(name) for name in names[:most])
    return listed if len(names) <= most else f"{listed}, … ({len(names)} in all)"


def _resolve(reference: ClassReference, labels: Mapping[str, int], field: str) -> int:
    kind = reference.WhichOneof("reference")
    if kind == "name" and reference.name in labels:
        return labels[reference.name]
    if kind == "label" and 0 <= reference.label < len(labels):
        return reference.label
    known = list_names(list(labels))
    if kind == "name":
        raise InvalidRequestError(f"there is no class {reference.name[:80]!r}; the classes are {known}", field=field)
    if kind == "label":
        raise InvalidRequestError(
            f"label {reference.label} is not one of 0 to {len(labels) - 1} ({known})", field=field
        )
    raise InvalidRequestError(f"a class is named by neither label nor name; the classes are {known}", field=field)


def _open_list(class_list: ClassList, labels: Mapping[str, int]) -> Labels:
    if not class_list.classes:
        raise InvalidRequestError("the list of classes is empty; name at least one", field="query.labels.list.classes")
    return np.array(
        [_resolve(entry, labels, f"query.labels.list.classes[{i}]") for i, entry in enumerate(class_list.classes)],
        np.int64,
    )


def _open_weights(weighted: Weighted, labels: Mapping[str, int]) -> NDArray[np.float64]:
    weights = np.zeros(len(labels))
    for i, entry in enumerate(weighted.weights):
        field = f"query.labels.weighted.weights[{i}]"
        label = _resolve(entry.class_reference, labels, f"{field}.class_reference")
        if not (math.isfinite(entry.weight) and entry.weight >= 0):
            raise InvalidRequestError(
                f"the weight of label {label} is {entry.weight}; it must be finite and not negative",
                field=f"{field}.weight",
            )
        weights[label] += entry.weight
    edges = np.cumsum(weights)
    if not 0 < edges[-1] < math.inf:
        raise InvalidRequestError(
            f"the weights add up to {edges[-1]}; give at least one class a weight above 0",
            field="query.labels.weighted",
        )
    return edges


def _balanced(num_classes: int, seed: int, first_index: int, count: int) -> Labels:
    """Every window of `num_classes` indices is a permutation of the classes, drawn from the window's own words."""
    first_window = first_index // num_classes
    num_windows = (first_index + count - 1) // num_classes + 1 - first_window if count else 0
    words = draw_words(seed, _LABEL_TAG, first_window, num_windows, num_classes)
    start = first_index - first_window * num_classes
    return np.argsort(words, axis=1, kind="stable").reshape(-1)[start : start + count].astype(np.int64)


def _weighted(edges: NDArray[np.float64], words: NDArray[np.uint64]) -> Labels:
    """Inverts the cumulative weights at uniform numbers of 52 bits."""
    uniform = ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    last_possible = np.searchsorted(edges, edges[-1])  # rounding may carry the largest draws past the last edge
    labels: Labels = np.searchsorted(edges, uniform * edges[-1], side="right").clip(max=last_possible).astype(np.int64)
    return labels
