"""Queries from the arguments of a call."""

from __future__ import annotations

import secrets
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.images import check_encoding
from ganserve.contract.latents import NUM_INDICES, NUM_SEEDS, check_truncation
from ganserve.contract.tensors import pack_latents
from ganserve.v1.generator_pb2 import (
    ImageEncoding,
    ImageFormat,
    ModelSelector,
    SampleAddress,
    SampleQuery,
)

from ._checks import real_number, whole_number
from ._labels import LabelsLike, label_policy

ImageFormatName = Literal["raw", "png", "jpeg", "webp"]

FORMATS: Final = {
    "raw": ImageFormat.IMAGE_FORMAT_RAW,
    "png": ImageFormat.IMAGE_FORMAT_PNG,
    "jpeg": ImageFormat.IMAGE_FORMAT_JPEG,
    "webp": ImageFormat.IMAGE_FORMAT_WEBP,
}
_LOSSY: Final = ("jpeg", "webp")
_MAX_COUNT: Final = 2**64 - 1
_DRAWN_SEED_BITS: Final = 53  # exact in JSON readers that hold numbers as doubles


def model_selector(model: str | None, version: int | None, digest: str) -> ModelSelector:
    """Names the model. Raises InvalidRequestError for a version that cannot be."""
    selector = ModelSelector(name=model or "", digest=digest)
    if version is not None:
        selector.version = whole_number(version, "version", low=1, high=2**32 - 1, field="query.model.version")
    return selector


def image_encoding(format: str, quality: int | None) -> ImageEncoding:  # noqa: A002
    """Form of the images in the replies.

    Raises:
        InvalidRequestError: a format that does not exist, or a quality that is not 1 to 100 or goes with no format.
    """
    if format not in FORMATS:
        raise InvalidRequestError(
            f"image format {format!r} does not exist; use {', '.join(FORMATS)}", field="query.encoding.format"
        )
    encoding = ImageEncoding(format=FORMATS[format])
    if quality is not None:
        if format not in _LOSSY:
            raise InvalidRequestError(
                f"quality goes with {' and '.join(_LOSSY)}, not with {format}", field="query.encoding.quality"
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
    encoding: ImageEncoding,
) -> SampleQuery:
    """Asks for samples `first_index … first_index + n - 1` of a seed; without `n`, for all to the end of the indices.

    Without a seed one is drawn here, so that asking again asks for the same.

    Raises:
        InvalidRequestError: n below 1, an index or seed that is not 0 to 2^64 - 1, or labels or a truncation that
            cannot be used.
    """
    first = whole_number(first_index, "first_index", low=0, high=NUM_INDICES - 1, field="query.address.first_index")
    most = min(NUM_INDICES - first, _MAX_COUNT)
    address = SampleAddress(
        seed=_seed(seed),
        first_index=first,
        count=most if n is None else whole_number(n, "n", low=1, high=most, field="query.address.count"),
    )
    if truncation is not None:
        address.truncation = real_number(truncation, "truncation", field="query.address.truncation")
        check_truncation(address.truncation)
    return SampleQuery(model=named(model), address=address, labels=label_policy(labels), encoding=encoding)


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


def _seed(seed: int | None) -> int:
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
