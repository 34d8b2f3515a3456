"""The `labels` argument as a label policy, and the part of a policy that a part of a request needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ganserve.contract.errors import InvalidRequestError
from ganserve.v1.generator_pb2 import (
    Balanced,
    ClassBlock,
    ClassBlocks,
    ClassList,
    ClassReference,
    ClassWeight,
    LabelPolicy,
    Uniform,
    Weighted,
)

from .checks import real_number, whole_number

ClassKey = int | str
LabelsLike = ClassKey | Sequence[ClassKey] | NDArray[np.integer[Any]] | Mapping[Any, float]
CountsLike = Mapping[Any, int]

_FIELD: Final = "query.labels"
_MAX_LABEL: Final = 2**32 - 1
_MAX_COUNT: Final = 2**64 - 1


def label_policy(labels: LabelsLike | None) -> LabelPolicy | None:
    """The policy that a `labels` argument stands for; None leaves the choice to the server.

    A str is always a class's name and an int always its label, counted from 0, also where names are whole numbers.

    Args:
        labels: a label or class name for every sample; ``"balanced"`` or ``"uniform"``; a sequence or one-dimensional
            array of labels and names, of which index `i` gets entry `i` modulo its length; or a mapping from label or
            name to weight. A class that is itself called ``"balanced"`` is named in a list: ``["balanced"]``.

    Raises:
        InvalidRequestError: anything else, an empty sequence, or weights that are not finite, negative or all 0.
    """
    if labels is None:
        return None
    if hasattr(labels, "__array__"):
        labels = np.asarray(labels).tolist()
    if isinstance(labels, Mapping):
        return LabelPolicy(weighted=_weighted(labels))
    if isinstance(labels, Sequence) and not isinstance(labels, (str, bytes)):
        return LabelPolicy(list=_class_list(labels))
    if labels == "balanced":
        return LabelPolicy(balanced=Balanced())
    if labels == "uniform":
        return LabelPolicy(uniform=Uniform())
    return LabelPolicy(one=_class_reference(labels, f"{_FIELD}.one"))


def count_policy(counts: CountsLike) -> LabelPolicy:
    """The policy that a `counts` argument stands for: index `i`, modulo the sum of the counts, falls into a block.

    Args:
        counts: how many samples of each label or class name, in blocks of this order.

    Raises:
        InvalidRequestError: anything else than a mapping to whole numbers from 0 that add up to at least 1.
    """
    field = f"{_FIELD}.blocks"
    if not isinstance(counts, Mapping):
        raise InvalidRequestError(
            f"counts is {counts!r}; give a mapping from class to number of samples, such as {{'cat': 100}}", field=field
        )
    blocks = [
        ClassBlock(
            class_reference=_class_reference(key, f"{field}.blocks[{i}].class_reference"),
            count=whole_number(
                count, f"the count of class {key!r}", low=0, high=_MAX_COUNT, field=f"{field}.blocks[{i}].count"
            ),
        )
        for i, (key, count) in enumerate(counts.items())
    ]
    total = sum(block.count for block in blocks)
    if not 0 < total <= _MAX_COUNT:
        raise InvalidRequestError(
            f"the counts add up to {total}; they have to make 1 to {_MAX_COUNT} samples, as in {{'cat': 100}}",
            field=field,
        )
    return LabelPolicy(blocks=ClassBlocks(blocks=blocks))


def part_of_list(classes: Sequence[ClassReference], start: int, count: int, first_index: int | None) -> ClassList:
    """The list that gives a part of a request the same classes as `classes` gives it in the whole.

    No longer than the part, so that a list with an entry a sample does not travel whole with every part.

    Args:
        classes: the list of the whole request.
        start: position of the part's first sample in the whole request.
        count: samples of the part, at least 1.
        first_index: index of the whole request's first sample; None for explicit latents, where the rows of every
            request count from 0.
    """
    length = len(classes)
    if first_index is None:
        return ClassList(classes=[classes[(start + row) % length] for row in range(min(count, length))])
    if length <= count:
        return ClassList(classes=classes)
    begin = first_index + start
    part = [classes[i % length] for i in range(begin, begin + count)]
    turn = -begin % count  # index `begin` reads the new list at `begin % count`
    return ClassList(classes=part[turn:] + part[:turn])


def _weighted(weights: Mapping[Any, float]) -> Weighted:
    field = f"{_FIELD}.weighted"
    entries = []
    for i, (key, value) in enumerate(weights.items()):
        weight = real_number(value, f"the weight of class {key!r}", field=f"{field}.weights[{i}].weight")
        if weight < 0:
            raise InvalidRequestError(
                f"the weight of class {key!r} is {value!r}; it must not be negative",
                field=f"{field}.weights[{i}].weight",
            )
        reference = _class_reference(key, f"{field}.weights[{i}].class_reference")
        entries.append(ClassWeight(class_reference=reference, weight=weight))
    if not any(entry.weight for entry in entries):
        raise InvalidRequestError(
            "no class has a weight above 0; give at least one, such as {3: 1.0}", field=f"{field}.weights"
        )
    return Weighted(weights=entries)


def _class_list(labels: Sequence[object]) -> ClassList:
    if not labels:
        raise InvalidRequestError("the list of classes is empty; name at least one", field=f"{_FIELD}.list.classes")
    return ClassList(classes=[_class_reference(entry, f"{_FIELD}.list.classes[{i}]") for i, entry in enumerate(labels)])


def _class_reference(key: object, field: str) -> ClassReference:
    if isinstance(key, str):
        if not key:
            raise InvalidRequestError("a class name is empty; give a label or a name", field=field)
        return ClassReference(name=key)
    if isinstance(key, float) or not hasattr(key, "__index__"):
        raise InvalidRequestError(
            f"{key!r} names no class; give a label such as 3, a class name, 'balanced', 'uniform', a sequence of "
            "labels or names, or a mapping from class to weight",
            field=field,
        )
    return ClassReference(label=whole_number(key, "the label", low=0, high=_MAX_LABEL, field=field))
