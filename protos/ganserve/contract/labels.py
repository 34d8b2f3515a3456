"""Label policies: which class the index `i` of a seed gets.

A policy draws from Philox words under its own tag, so choosing another policy never changes the latents.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.latents import NUM_INDICES, IndexRange, Words, draw_words
from ganserve.v1.generator_pb2 import ClassBlocks, ClassList, ClassReference, LabelPolicy, Weighted

_LABEL_TAG: Final = int.from_bytes(b"gan-lab1", "big")

PolicyKind = Literal["cycle", "blocks", "balanced", "uniform", "weighted"]
Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelSampler:
    """A label policy with its classes looked up, ready for any range of indices.

    Attributes:
        kind: what the labels come from; `cycle` and `blocks` draw nothing, the others need a seed.
        num_classes: number of classes.
        cycle: the labels that indices go through, for `cycle`; of blocks, for `blocks`.
        ends: index behind each block, for `blocks`.
        edges: cumulative weights in label order, for `weighted`.
    """

    kind: PolicyKind
    num_classes: int
    cycle: Labels = field(default_factory=lambda: np.empty(0, np.int64))
    ends: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    edges: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    def sample(self, seed: int | None, first_index: int, count: int) -> Labels:
        """Labels of indices `first_index … first_index + count - 1`, int64 (count,).

        Raises:
            InvalidRequestError: no seed, for a policy that draws from one.
        """
        if seed is None:
            self.check_seedless()
        return draw_labels([(self, IndexRange(seed or 0, first_index, count))])

    def check_seedless(self) -> None:
        """Raises InvalidRequestError unless labels can be had without a seed, as explicit latents need them."""
        if self.kind not in ("cycle", "blocks"):
            raise self._needs_seed()

    def _needs_seed(self) -> InvalidRequestError:
        return InvalidRequestError(
            f"the label policy {self.kind!r} draws from a seed, and explicit latents have none; "
            "give one class, or a list with a class a row",
            field="query.labels",
        )


_Part = tuple[LabelSampler, IndexRange]


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
    if kind == "blocks":
        cycle, ends = _open_blocks(policy.blocks, labels)
        return LabelSampler(kind="blocks", num_classes=len(labels), cycle=cycle, ends=ends)
    if kind == "weighted":
        return LabelSampler(kind="weighted", num_classes=len(labels), edges=_open_weights(policy.weighted, labels))
    return LabelSampler(kind="uniform" if kind == "uniform" else "balanced", num_classes=len(labels))


def draw_labels(parts: Sequence[_Part]) -> Labels:
    """Labels of many ranges in order, each under its own policy, with one draw for each kind of policy: int64 (N,)."""
    drawn: list[Labels | None] = [None] * len(parts)
    for kind, draw in _DRAWS.items():
        places = [place for place, (sampler, _) in enumerate(parts) if sampler.kind == kind]
        if places:
            for place, labels in zip(places, draw([parts[place] for place in places]), strict=True):
                drawn[place] = labels
    return np.concatenate([labels for labels in drawn if labels is not None])


def sample_labels(
    policy: LabelPolicy, class_names: Sequence[str], seed: int | None, first_index: int, count: int
) -> Labels:
    """Labels of indices `first_index … first_index + count - 1` under a policy; see `open_policy`."""
    return open_policy(policy, class_names).sample(seed, first_index, count)


def list_names(names: Sequence[str], most: int = 20) -> str:
    """Names as a message lists them, cut short where there are many."""
    listed = ", ".join(repr(name) for name in names[:most])
    return listed if len(names) <= most else f"{listed}, … ({len(names):,} in all)"


def _resolve(reference: ClassReference, labels: Mapping[str, int], field: str) -> int:
    kind = reference.WhichOneof("reference")
    if kind == "name" and reference.name in labels:
        return labels[reference.name]
    if kind == "label" and 0 <= reference.label < len(labels):
        return reference.label
    known = list_names(list(labels))
    if kind == "name":
        name = reference.name
        is_label = name.isdecimal() and len(name) < 20 and int(name) < len(labels)
        hint = f" (a text is a class's name; for label {name} give the whole number)" if is_label else ""
        raise InvalidRequestError(f"there is no class {name[:80]!r}; the classes are {known}{hint}", field=field)
    if kind == "label":
        number = reference.label
        label = labels.get(str(number))
        hint = "" if label is None else f"; for the class named '{number}' give the text '{number}', or label {label}"
        raise InvalidRequestError(f"label {number} is not one of 0 to {len(labels) - 1} ({known}){hint}", field=field)
    raise InvalidRequestError(f"a class is named by neither label nor name; the classes are {known}", field=field)


def _open_list(class_list: ClassList, labels: Mapping[str, int]) -> Labels:
    if not class_list.classes:
        raise InvalidRequestError("the list of classes is empty; name at least one", field="query.labels.list.classes")
    return np.array(
        [_resolve(entry, labels, f"query.labels.list.classes[{i}]") for i, entry in enumerate(class_list.classes)],
        np.int64,
    )


def _open_blocks(blocks: ClassBlocks, labels: Mapping[str, int]) -> tuple[Labels, NDArray[np.uint64]]:
    """The label of each block and the index behind it."""
    field = "query.labels.blocks"
    total = sum(block.count for block in blocks.blocks)
    if not 0 < total < NUM_INDICES:
        raise InvalidRequestError(
            f"the counts of the classes add up to {total}; they must make 1 to {NUM_INDICES - 1} samples", field=field
        )
    cycle = [
        _resolve(block.class_reference, labels, f"{field}.blocks[{i}].class_reference")
        for i, block in enumerate(blocks.blocks)
    ]
    ends = np.cumsum([block.count for block in blocks.blocks], dtype=np.uint64)
    return np.array(cycle, np.int64), ends


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


def _draw_cycles(parts: Sequence[_Part]) -> Iterator[Labels]:
    for sampler, (_, first_index, count) in parts:
        start = first_index % len(sampler.cycle)
        yield sampler.cycle[(start + np.arange(count)) % len(sampler.cycle)]


def _draw_blocks(parts: Sequence[_Part]) -> Iterator[Labels]:
    for sampler, (_, first_index, count) in parts:
        places = (np.uint64(first_index) + np.arange(count, dtype=np.uint64)) % sampler.ends[-1]
        yield sampler.cycle[np.searchsorted(sampler.ends, places, side="right")]


def _draw_balanced(parts: Sequence[_Part]) -> Iterator[Labels]:
    """Every window of K indices is a permutation of the K classes, drawn from the window's own words."""
    num_classes = parts[0][0].num_classes
    windows = [_windows_of(indices, num_classes) for _, indices in parts]
    words = draw_words(windows, _LABEL_TAG, num_classes)
    labels = np.argsort(words, axis=1, kind="stable").reshape(-1).astype(np.int64)
    num_before = 0
    for (_, indices), window in zip(parts, windows, strict=True):
        start = num_before + indices.first_index - window.first_index * num_classes
        yield labels[start : start + indices.num_indices]
        num_before += window.num_indices * num_classes


def _windows_of(indices: IndexRange, num_classes: int) -> IndexRange:
    seed, first_index, count = indices
    first_window = first_index // num_classes
    num_windows = (first_index + count - 1) // num_classes + 1 - first_window if count else 0
    return IndexRange(seed, first_window, num_windows)


def _draw_uniform(parts: Sequence[_Part]) -> Iterator[Labels]:
    for (sampler, _), words in _first_words(parts):
        yield (((words >> np.uint64(32)) * np.uint64(sampler.num_classes)) >> np.uint64(32)).astype(np.int64)


def _draw_weighted(parts: Sequence[_Part]) -> Iterator[Labels]:
    """Inverts the cumulative weights at uniform numbers of 52 bits."""
    for (sampler, _), words in _first_words(parts):
        edges = sampler.edges
        uniform = ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
        last_possible = np.searchsorted(edges, edges[-1])  # rounding may carry the largest draws past the last edge
        yield np.searchsorted(edges, uniform * edges[-1], side="right").clip(max=last_possible).astype(np.int64)


def _first_words(parts: Sequence[_Part]) -> Iterator[tuple[_Part, Words]]:
    """Each part with word 0 of each of its indices, uint64 (count,)."""
    words = draw_words([indices for _, indices in parts], _LABEL_TAG, 1)[:, 0]
    start = 0
    for part in parts:
        yield part, words[start : start + part[1].num_indices]
        start += part[1].num_indices


_DRAWS: Final[Mapping[PolicyKind, Callable[[Sequence[_Part]], Iterator[Labels]]]] = {
    "cycle": _draw_cycles,
    "blocks": _draw_blocks,
    "balanced": _draw_balanced,
    "uniform": _draw_uniform,
    "weighted": _draw_weighted,
}
