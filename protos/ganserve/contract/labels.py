"""Label policies: which class the index `i` of a seed gets.

A policy draws from Philox words under its own tag, so choosing another policy never changes the latents.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.latents import draw_words
from ganserve.v1.generator_pb2 import ClassReference, LabelPolicy, Weighted

_LABEL_TAG: Final = int.from_bytes(b"gan-lab1", "big")

Labels = NDArray[np.int64]


def sample_labels(
    policy: LabelPolicy, class_names: Sequence[str], seed: int | None, first_index: int, count: int
) -> Labels:
    """Labels of indices `first_index … first_index + count - 1`, int64 (count,). An empty policy means balanced.

    Args:
        policy: the policy.
        class_names: the generator's classes in label order, at least one.
        seed: the seed, or None for explicit latents, where only the policies that draw nothing are possible.
        first_index: at least 0.
        count: number of labels, at least 0.

    Raises:
        InvalidRequestError: a class that does not exist, weights that cannot be used, or a drawing policy without a
            seed.
    """
    kind = policy.WhichOneof("policy") or "balanced"
    if kind == "one":
        return np.full(count, resolve_class(policy.one, class_names, "query.labels.one"), np.int64)
    if kind == "list":
        return _cycle(policy, class_names, first_index, count)
    if seed is None:
        raise InvalidRequestError(
            f"the label policy {kind!r} draws from a seed, and explicit latents have none; "
            "give one class, or a list with a class a row",
            field="query.labels",
        )
    if kind == "balanced":
        return _balanced(len(class_names), seed, first_index, count)
    if kind == "weighted":
        return _weighted(policy.weighted, class_names, seed, first_index, count)
    return _uniform(len(class_names), seed, first_index, count)


def resolve_class(reference: ClassReference, class_names: Sequence[str], field: str) -> int:
    """The label that a class reference names. Raises InvalidRequestError where there is no such class."""
    if reference.WhichOneof("reference") == "name":
        if reference.name in class_names:
            return list(class_names).index(reference.name)
        raise InvalidRequestError(
            f"there is no class {reference.name!r}; the classes are {_listed(class_names)}", field=field
        )
    if 0 <= reference.label < len(class_names):
        return reference.label
    raise InvalidRequestError(
        f"label {reference.label} is not one of 0 to {len(class_names) - 1} ({_listed(class_names)})", field=field
    )


def _cycle(policy: LabelPolicy, class_names: Sequence[str], first_index: int, count: int) -> Labels:
    classes = policy.list.classes
    if not classes:
        raise InvalidRequestError("the list of classes is empty; name at least one", field="query.labels.list.classes")
    labels = np.array(
        [resolve_class(entry, class_names, f"query.labels.list.classes[{i}]") for i, entry in enumerate(classes)],
        np.int64,
    )
    start = first_index % len(labels)
    return labels[(start + np.arange(count)) % len(labels)]


def _balanced(num_classes: int, seed: int, first_index: int, count: int) -> Labels:
    """Every window of `num_classes` indices is a permutation of the classes, drawn from the window's own words."""
    first_window = first_index // num_classes
    num_windows = (first_index + count - 1) // num_classes + 1 - first_window if count else 0
    words = draw_words(seed, _LABEL_TAG, first_window, num_windows, num_classes)
    start = first_index - first_window * num_classes
    return np.argsort(words, axis=1, kind="stable").reshape(-1)[start : start + count].astype(np.int64)


def _uniform(num_classes: int, seed: int, first_index: int, count: int) -> Labels:
    words = draw_words(seed, _LABEL_TAG, first_index, count, 1)[:, 0]
    return (((words >> np.uint64(32)) * np.uint64(num_classes)) >> np.uint64(32)).astype(np.int64)


def _weighted(weighted: Weighted, class_names: Sequence[str], seed: int, first_index: int, count: int) -> Labels:
    """Inverts the cumulative weights, summed in label order, at a uniform number of 52 bits."""
    weights = np.zeros(len(class_names))
    for i, entry in enumerate(weighted.weights):
        field = f"query.labels.weighted.weights[{i}]"
        label = resolve_class(entry.class_reference, class_names, f"{field}.class_reference")
        if not (math.isfinite(entry.weight) and entry.weight >= 0):
            raise InvalidRequestError(
                f"the weight of class {class_names[label]!r} is {entry.weight}; it must be finite and not negative",
                field=f"{field}.weight",
            )
        weights[label] += entry.weight
    edges = np.cumsum(weights)
    total = edges[-1]
    if not 0 < total < math.inf:
        raise InvalidRequestError(
            f"the weights add up to {total}; give at least one class a weight above 0", field="query.labels.weighted"
        )
    words = draw_words(seed, _LABEL_TAG, first_index, count, 1)[:, 0]
    uniform = ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    last_possible = np.flatnonzero(weights)[-1]  # rounding may carry the largest draws past the last edge
    labels: Labels = np.searchsorted(edges, uniform * total, side="right").clip(max=last_possible).astype(np.int64)
    return labels


def _listed(class_names: Sequence[str], most: int = 20) -> str:
    listed = ", ".join(repr(name) for name in class_names[:most])
    return listed if len(class_names) <= most else f"{listed}, … ({len(class_names)} in all)"
