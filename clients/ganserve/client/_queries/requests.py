"""Queries from the arguments of a call."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ganserve.contract.errors import ConfigError, InvalidRequestError
from ganserve.contract.images import FILE_FORMATS, FORMAT_NUMBERS, check_encoding
from ganserve.contract.latents import NUM_INDICES, NUM_SEEDS, check_spread, check_truncation
from ganserve.contract.selectors import ALIAS
from ganserve.contract.tensors import pack_latents
from ganserve.v1.generator_pb2 import (
    ImageEncoding,
    LabelPolicy,
    ModelSelector,
    Priority,
    SampleAddress,
    SampleQuery,
)

from .checks import real_number, whole_number
from .labels import CountsLike, LabelsLike, count_policy, label_policy

IndicesLike = Sequence[int] | NDArray[np.integer[Any]]
PriorityName = Literal["interactive", "bulk"]

_WITH_QUALITY: Final = tuple(form.name for form in FILE_FORMATS if form.takes_quality)
_MAX_COUNT: Final = 2**64 - 1
_DIGEST: Final = re.compile("[0-9a-f]{64}")
_DRAWN_SEED_BITS: Final = 53  # exact in JSON readers that hold numbers as doubles


def model_selector(model: str | None, version: int | None, digest: str) -> ModelSelector:
    """Names the model; ``name:version`` and ``name:alias`` say both. Raises InvalidRequestError for what cannot be."""
    if digest and not _DIGEST.fullmatch(str(digest)):
        raise InvalidRequestError(
            f"digest {digest!r} is no SHA-256; give all 64 digits (0-9, a-f) that get_model().digest or "
            "`ganserve models --model NAME` tells",
            field="query.model.digest",
        )
    name, colon, which = (model or "").partition(":")
    selector = ModelSelector(name=name, digest=digest)
    if colon:
        field = "query.model.version"
        is_alias = ALIAS.fullmatch(which) is not None
        if not is_alias and not which.isdecimal():
            raise InvalidRequestError(
                f"model {model!r} is no name, and no name:version or name:alias such as digits:1 or digits:stable",
                field=field,
            )
        if version is not None and (is_alias or version != int(which)):
            raise InvalidRequestError(f"model {model!r} and version {version} differ; give one of them", field=field)
        if is_alias:
            selector.alias = which
        else:
            version = int(which)
    if version is not None:
        selector.version = whole_number(version, "version", low=1, high=2**32 - 1, field="query.model.version")
    return selector


def describe_selector(model: ModelSelector, digest: str) -> str:
    """A model for people, such as ``model 'digits:2'@abababababab``, with what is known of its digest."""
    if not model.name:
        return "no model"
    which = f":{model.version}" if model.HasField("version") else f":{model.alias}" if model.alias else ""
    return f"model '{model.name}{which}'" + (f"@{digest[:12]}" if digest else "")


def priority_value(name: PriorityName | None) -> Priority.ValueType:
    """How urgent a client's samples are; None leaves that to the method. Raises ConfigError for no such priority."""
    if name is None:
        return Priority.PRIORITY_UNSPECIFIED
    if name not in get_args(PriorityName):
        raise ConfigError(f"priority is {name!r}; use {' or '.join(get_args(PriorityName))}")
    return Priority.Value(f"PRIORITY_{name.upper()}")


def image_encoding(format: str, quality: int | None) -> ImageEncoding:  # noqa: A002
    """Form of the images in the replies.

    Raises:
        InvalidRequestError: a format that does not exist, or a quality that is not 1 to 100 or goes with no format.
    """
    if format not in FORMAT_NUMBERS:
        raise InvalidRequestError(
            f"image format {format!r} does not exist; use {', '.join(FORMAT_NUMBERS)}", field="query.encoding.format"
        )
    encoding = ImageEncoding(format=FORMAT_NUMBERS[format])
    if quality is not None:
        if format not in _WITH_QUALITY:
            raise InvalidRequestError(
                f"quality goes with {' and '.join(_WITH_QUALITY)}, not with {format}", field="query.encoding.quality"
            )
        encoding.quality = whole_number(quality, "quality", low=1, high=100, field="query.encoding.quality")
    check_encoding(encoding)
    return encoding


def address_query(
    model: ModelSelector,
    n: int | None,
    *,
    seed: int | None,
    first_index: int,
    labels: LabelsLike | None,
    truncation: float | None,
    spread: float | None = None,
    encoding: ImageEncoding,
    indices: IndicesLike | None = None,
    counts: CountsLike | None = None,
    endless: bool = False,
) -> SampleQuery:
    """Asks for samples `first_index … first_index + n - 1` of a seed, or for those of `indices`.

    Without a seed one is drawn here, so that asking again asks for the same. Without `n` the counts say how many, and
    without counts it is all to the end of the indices, where `endless`. Indices in a row, as a range, are sent as one.

    Raises:
        InvalidRequestError: n below 1, missing, or another number than the counts add up to; an index or seed that is
            not 0 to 2^64 - 1; labels, counts, a truncation or a spread that cannot be used; or arguments that exclude
            each other.
    """
    if labels is not None and counts is not None:
        raise InvalidRequestError("labels and counts both say which classes; give one of them", field="query.labels")
    policy = label_policy(labels) if counts is None else count_policy(counts)
    if indices is None:
        address = _range(_num_asked(n, policy, endless), first_index)
    else:
        if n is not None or first_index != 0:
            raise InvalidRequestError(
                "indices say which samples and how many; leave n and first_index out", field="query.address.indices"
            )
        address = _range_of(indices) or SampleAddress(indices=_indices(indices))
    address.seed = checked_seed(seed)
    if truncation is not None:
        address.truncation = real_number(truncation, "truncation", field="query.address.truncation")
        check_truncation(address.truncation)
    if spread is not None:
        address.spread = real_number(spread, "spread", field="query.address.spread")
        check_spread(address.spread)
    return SampleQuery(model=named(model), address=address, labels=policy, encoding=encoding)


def latents_query(
    model: ModelSelector, latents: ArrayLike, *, labels: LabelsLike | None, encoding: ImageEncoding
) -> SampleQuery:
    """Asks for one sample a row of `latents`, numbers of any dtype, (N, latent_dim).

    Raises:
        InvalidRequestError: another shape, no row, a value that is not a finite float32, labels that cannot be used, or
            a label policy that draws from a seed.
    """
    policy = label_policy(labels)
    drawing = policy.WhichOneof("policy") if policy else None
    if drawing in ("balanced", "uniform", "weighted"):
        raise InvalidRequestError(
            f"{drawing} labels are drawn from a seed, and explicit latents have none; "
            "give one class, or a list with a class a row",
            field="query.labels",
        )
    return SampleQuery(
        model=named(model), latents=pack_latents(_latent_rows(latents)), labels=policy, encoding=encoding
    )


def named(model: ModelSelector) -> ModelSelector:
    """The selector itself. Raises InvalidRequestError where it names no model."""
    if not model.name:
        raise InvalidRequestError(
            "no model is named; give one, as in Client(…, model='digits'). list_models() tells which there are",
            field="query.model.name",
        )
    return model


def _num_asked(n: int | None, policy: LabelPolicy | None, endless: bool) -> int | None:
    """The number of samples; None for as many as there are."""
    if policy is not None and policy.HasField("blocks"):
        return _num_counted(n, sum(block.count for block in policy.blocks.blocks))
    if n is not None:
        return n
    if endless:
        return None
    raise InvalidRequestError("give n, the number of samples, or counts, or indices", field="query.address.count")


def _num_counted(n: int | None, total: int) -> int:
    """All that is counted: no other number holds each class as often as its count says."""
    if n is not None and whole_number(n, "n", low=1, high=_MAX_COUNT, field="query.address.count") != total:
        raise InvalidRequestError(
            f"n is {n}, and the counts add up to {total}; leave n out. A part of what is counted is asked for by its "
            "indices, as in indices=range(0, 10)",
            field="query.address.count",
        )
    return total


def _range(n: int | None, first_index: int) -> SampleAddress:
    first = whole_number(first_index, "first_index", low=0, high=NUM_INDICES - 1, field="query.address.first_index")
    most = min(NUM_INDICES - first, _MAX_COUNT)
    count = most if n is None else whole_number(n, "n", low=1, high=_MAX_COUNT, field="query.address.count")
    if count > most:
        raise InvalidRequestError(
            f"n is {count} from first_index {first}, and the last index is {NUM_INDICES - 1}; "
            f"ask for at most {most}, or from an earlier index",
            field="query.address.count",
        )
    return SampleAddress(first_index=first, count=count)


def _range_of(indices: IndicesLike) -> SampleAddress | None:
    """Indices that follow each other as first index and count; None for all others."""
    if not isinstance(indices, range) or indices.step != 1 or not 0 <= indices.start < indices.stop:
        return None
    whole_number(indices[-1], "the last of the indices", low=0, high=NUM_INDICES - 1, field="query.address.indices")
    return _range(indices.stop - indices.start, indices.start)


def _indices(indices: IndicesLike) -> list[int]:
    """At least one index, in the order given."""
    field = "query.address.indices"
    if hasattr(indices, "__array__"):
        indices = np.asarray(indices).tolist()
    if not isinstance(indices, Sequence) or isinstance(indices, (str, bytes)) or not indices:
        raise InvalidRequestError(
            f"indices are {indices!r}; give one or more in a list, such as [3, 1, 4]", field=field
        )
    return [
        whole_number(index, f"the index at position {place}", low=0, high=NUM_INDICES - 1, field=f"{field}[{place}]")
        for place, index in enumerate(indices)
    ]


def checked_seed(seed: int | None) -> int:
    """The seed itself, or one that is drawn. Raises InvalidRequestError for anything but 0 to 2^64 - 1."""
    if seed is None:
        return secrets.randbits(_DRAWN_SEED_BITS)
    return whole_number(seed, "seed", low=0, high=NUM_SEEDS - 1, field="query.address.seed")


def _latent_rows(latents: ArrayLike) -> NDArray[np.float32]:
    """float32 (N, latent_dim), all finite."""
    field = "query.latents"
    try:
        given: NDArray[Any] = np.asarray(latents)
    except ValueError as error:
        raise InvalidRequestError(f"the latents are no matrix of numbers: {error}", field=field) from None
    if given.dtype.kind not in "fiu":
        raise InvalidRequestError(f"latents have dtype {given.dtype}; give an array of floats", field=field)
    if given.ndim != 2 or 0 in given.shape:
        raise InvalidRequestError(
            f"latents have shape {given.shape}; give one or more rows: (number of samples, latent_dim)", field=field
        )
    with np.errstate(over="ignore"):
        rows = given.astype(np.float32)
    unusable = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if unusable.size:
        raise InvalidRequestError(
            f"latent row {unusable[0]} holds a value that is not a finite float32 (NaN, infinite or too large)",
            field=f"{field}.values",
        )
    return rows
