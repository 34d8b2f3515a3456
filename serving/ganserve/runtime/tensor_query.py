"""Queries whose callers give the inputs of a model by name, as protocols do that know nothing of addresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ganserve.contract.bundle import LABELS_INPUT, LATENTS_INPUT, signature_of
from ganserve.contract.card import is_conditional, kind_of
from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.labels import list_names, open_policy
from ganserve.contract.latents import IndexRange
from ganserve.contract.rows import Column
from ganserve.v1.bundle_pb2 import TensorSpec
from ganserve.v1.generator_pb2 import ImageEncoding, LabelPolicy, ModelSelector
from ganserve.v1.model_pb2 import ModelCard

from .sources import GivenColumn, InputColumn, PolicyLabels, Source


@dataclass(frozen=True, eq=False, kw_only=True)
class TensorQuery:
    """What is asked, beside the contract's `SampleQuery`.

    Attributes:
        model: the model.
        inputs: its inputs by name, as the caller sent them: arrays of any type and shape.
        labels: the classes of a conditional generator, where `inputs` has no labels.
        encoding: the form of the images.
    """

    model: ModelSelector
    inputs: Mapping[str, Column]
    labels: LabelPolicy | None = None
    encoding: ImageEncoding = field(default_factory=ImageEncoding)


def open_tensors(query: TensorQuery, card: ModelCard) -> Source:
    """Checks the inputs against the signature of the model. Of a scalar a row, the shape may be (N, 1).

    Raises:
        InvalidRequestError: an input that is missing, or none of the model's; another type, shape or number of rows; a
            latent that is not finite, or a label that does not exist.
    """
    specs = {spec.name: spec for spec in signature_of(card).inputs}
    for name in query.inputs:
        if name not in specs:
            raise InvalidRequestError(
                f"the model has no input {name[:80]!r}; it takes {_listed(specs)}", field=f"inputs.{name[:80]}"
            )
    needed = next(name for name in specs if name != LABELS_INPUT)
    if needed not in query.inputs:
        raise _missing(specs[needed])
    given = {name: _check_tensor(values, specs[name]) for name, values in query.inputs.items()}
    count = len(given[needed])
    _check_counts(given, needed)
    if LATENTS_INPUT in given:
        _check_latents(given[LATENTS_INPUT])
    columns: dict[str, InputColumn] = {name: GivenColumn(values) for name, values in given.items()}
    if LABELS_INPUT in given:
        _check_labels(given[LABELS_INPUT], count, card)
    if query.labels is not None:
        if LABELS_INPUT in given:
            raise InvalidRequestError(
                "give one class for all rows or the input 'labels', not both", field="query.labels"
            )
        columns |= _policy_labels(query.labels, count, card)
    if missing := [spec for name, spec in specs.items() if name not in columns]:
        raise _missing(missing[0])
    return Source(columns=columns, count=count, count_field=f"inputs.{needed}")


def _policy_labels(labels: LabelPolicy, count: int, card: ModelCard) -> Mapping[str, InputColumn]:
    if not is_conditional(card):
        raise InvalidRequestError(f"this {kind_of(card)} is unconditional: it takes no labels", field="query.labels")
    sampler = open_policy(labels, card.class_names)
    sampler.check_seedless()
    return {LABELS_INPUT: PolicyLabels(sampler=sampler, indices=IndexRange(0, 0, count))}


def _check_tensor(values: Column, spec: TensorSpec) -> Column:
    """The values (N, …) in the model's own shape."""
    if not spec.row_shape and values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.dtype.name != spec.dtype or not values.ndim or values.shape[1:] != tuple(spec.row_shape):
        raise InvalidRequestError(
            f"{spec.name} are {values.dtype.name} {list(values.shape)}; this model takes {_shape_of(spec)}",
            field=f"inputs.{spec.name}",
        )
    if not len(values):
        raise InvalidRequestError(f"{spec.name} have no row; give at least one", field=f"inputs.{spec.name}")
    return values


def _check_counts(given: Mapping[str, Column], first: str) -> None:
    """Raises InvalidRequestError where another input than the labels has not as many rows as the first."""
    for name, values in given.items():
        if name != LABELS_INPUT and len(values) != len(given[first]):
            raise InvalidRequestError(
                f"there are {len(values)} rows of {name} for {len(given[first])} of {first}", field=f"inputs.{name}"
            )


def _check_latents(latents: Column) -> None:
    unusable = np.flatnonzero(~np.isfinite(latents).all(axis=1))
    if unusable.size:
        raise InvalidRequestError(
            f"row {unusable[0]} of the latents holds a value that is not finite (NaN or infinite)",
            field=f"inputs.{LATENTS_INPUT}",
        )


def _check_labels(labels: Column, count: int, card: ModelCard) -> None:
    if len(labels) != count:
        raise InvalidRequestError(
            f"there are {len(labels)} labels for {count} latents; give one a row", field=f"inputs.{LABELS_INPUT}"
        )
    names = card.class_names
    unusable = np.flatnonzero((labels < 0) | (labels >= len(names)))
    if unusable.size:
        row = unusable[0]
        raise InvalidRequestError(
            f"label {labels[row]} of row {row} is not one of 0 to {len(names) - 1} ({list_names(names)})",
            field=f"inputs.{LABELS_INPUT}",
        )


def _missing(spec: TensorSpec) -> InvalidRequestError:
    instead = ", or one class for all rows" if spec.name == LABELS_INPUT else ""
    return InvalidRequestError(
        f"the input {spec.name!r} is missing; give {_shape_of(spec)}{instead}", field=f"inputs.{spec.name}"
    )


def _listed(specs: Mapping[str, TensorSpec]) -> str:
    return " and ".join(f"{name!r} ({_shape_of(spec)})" for name, spec in specs.items())


def _shape_of(spec: TensorSpec) -> str:
    return f"{spec.dtype} [{', '.join(('N', *map(str, spec.row_shape)))}]"
