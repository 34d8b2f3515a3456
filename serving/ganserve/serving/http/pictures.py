"""URLs of pictures: read, and written again as the one URL that always means the same."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote

from starlette.requests import Request

from ganserve.contract.card import is_conditional
from ganserve.contract.errors import InvalidRequestError, NotFoundError
from ganserve.contract.images import FILE_FORMATS, FileFormat, file_format_of
from ganserve.contract.interpolation import SeedAndIndex, latents_between
from ganserve.contract.labels import list_names
from ganserve.contract.latents import NUM_INDICES, NUM_SEEDS
from ganserve.contract.selectors import VERSIONS
from ganserve.contract.tensors import pack_latents
from ganserve.v1.generator_pb2 import (
    ImageEncoding,
    ModelSelector,
    SampleAddress,
    SampleQuery,
)
from ganserve.v1.model_pb2 import ModelCard

from .parameters import Parameters

SAMPLES_PATH: Final = "/v1/models/{model}/samples/{seed}/{file}"
INTERPOLATIONS_PATH: Final = "/v1/models/{model}/interpolations/{start}/{file}"

_SELECTOR: Final = re.compile(
    r"(?P<name>[^:@]+)(?::(?:(?P<version>[0-9]{1,10})|(?P<alias>[a-z][a-z0-9_-]{0,31})))?(?:@(?P<digest>[0-9a-f]{64}))?"
)
_FILE: Final = re.compile(r"(?P<name>[0-9:-]+)(?P<suffix>\.[a-z]+)?")
_RANGE: Final = re.compile(r"(?P<first>[0-9]{1,20})(?:-(?P<last>[0-9]{1,20}))?")
_ADDRESS: Final = re.compile(r"(?P<seed>[0-9]{1,20}):(?P<index>[0-9]{1,20})")
_FORMATS: Final = {form.name: form for form in FILE_FORMATS}
_STEPS: Final = 9
_MOST_STEPS: Final = 32
_MOST_GAP: Final = 8


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How several samples lie in one picture.

    Attributes:
        columns: samples a row; None for about as many as there are rows.
        gap: black pixels between samples.
    """

    columns: int | None = None
    gap: int = 2


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One image file.

    Attributes:
        query: the samples that it shows.
        layout: how they lie.
        form: its format.
        url: what it is a function of beside the model, as the end of a URL.
    """

    query: SampleQuery
    layout: Layout
    form: FileFormat
    url: str


def read_selector(text: str) -> ModelSelector:
    """A model as URLs name it: `name`, `name:version` or `name:alias`, and any of them with `@digest` behind it."""
    match = _SELECTOR.fullmatch(text)
    if not match or int(match["version"] or 1) not in VERSIONS:
        raise NotFoundError(
            f"there is no model {text[:80]!r}; give a name, name:version, name:alias, or name@digest with all 64 digits"
        )
    selector = ModelSelector(name=match["name"], digest=match["digest"] or "", alias=match["alias"] or "")
    if match["version"]:
        selector.version = int(match["version"])
    return selector


def read_samples(request: Request, selector: ModelSelector, card: ModelCard) -> Picture:
    """The picture of one sample of a seed, or of several that follow one another.

    Raises:
        InvalidRequestError: naming the part of the URL at fault.
        NotFoundError: the path names no samples.
    """
    name, suffix = _read_file(request.path_params["file"])
    match = _RANGE.fullmatch(name)
    if not match:
        raise NotFoundError(f"{name!r} names no samples; give an index, such as 0.png, or a range, such as 0-63.png")
    seed = _bounded("seed", request.path_params["seed"], NUM_SEEDS)
    first = _bounded("index", match["first"], NUM_INDICES)
    last = first if match["last"] is None else _bounded("index", match["last"], NUM_INDICES)
    if last < first:
        raise InvalidRequestError(f"{name} ends before it begins; give the lower index first", field="index")
    parameters = Parameters(request.query_params)
    address = SampleAddress(seed=seed, first_index=first, count=min(last - first + 1, NUM_INDICES - 1))
    labels = parameters.take_labels(card)
    if (truncation := parameters.take_real("truncation")) is not None:
        address.truncation = truncation
    if (spread := parameters.take_real("spread")) is not None:
        address.spread = spread
    form, encoding = _read_format(parameters, suffix)
    layout = _read_layout(parameters, address.count) if match["last"] else Layout()
    parameters.check_all_taken()
    return Picture(
        query=SampleQuery(model=selector, address=address, labels=labels, encoding=encoding),
        layout=layout,
        form=form,
        url=_written(f"samples/{seed}/{first}" + (f"-{last}" if match["last"] else ""), form, parameters),
    )


def read_interpolation(request: Request, selector: ModelSelector, card: ModelCard) -> Picture:
    """The picture of the samples on the way from one address to another, in one row. Raises as `read_samples` does."""
    name, suffix = _read_file(request.path_params["file"])
    start, stop = _read_address(request.path_params["start"]), _read_address(name)
    parameters = Parameters(request.query_params)
    labels = parameters.take_labels(card)
    if is_conditional(card) and (labels is None or labels.WhichOneof("policy") != "one"):
        raise InvalidRequestError(
            f"all images of an interpolation are of one class; give class: {list_names(card.class_names)}",
            field="class",
        )
    truncation, spread = parameters.take_real("truncation"), parameters.take_real("spread")
    num_steps = parameters.take_whole("steps", low=2, high=_MOST_STEPS) or _STEPS
    parameters.written["steps"] = str(num_steps)
    form, encoding = _read_format(parameters, suffix)
    layout = _read_layout(parameters, num_steps)
    parameters.check_all_taken()
    latents = latents_between(start, stop, num_steps, card.latent_dim, truncation, spread)
    place = f"interpolations/{start[0]}:{start[1]}/{stop[0]}:{stop[1]}"
    return Picture(
        query=SampleQuery(model=selector, latents=pack_latents(latents), labels=labels, encoding=encoding),
        layout=replace(layout, columns=layout.columns or num_steps),
        form=form,
        url=_written(place, form, parameters),
    )


def _read_file(text: str) -> tuple[str, str]:
    match = _FILE.fullmatch(text)
    if not match:
        raise NotFoundError(f"{text[:80]!r} is no picture here; give an index, such as 0.png, or a range, 0-63.png")
    return match["name"], match["suffix"] or ""


def _read_address(text: str) -> SeedAndIndex:
    match = _ADDRESS.fullmatch(text)
    if not match:
        raise NotFoundError(f"{text[:80]!r} is no address; give seed:index, such as 7:3")
    return _bounded("seed", match["seed"], NUM_SEEDS), _bounded("index", match["index"], NUM_INDICES)


def _bounded(name: str, text: str, end: int) -> int:
    if not re.fullmatch("[0-9]{1,20}", text) or int(text) >= end:
        raise InvalidRequestError(f"{name} is {text[:40]!r}; give a whole number, 0 to {end - 1}", field=name)
    return int(text)


def _read_format(parameters: Parameters, suffix: str) -> tuple[FileFormat, ImageEncoding]:
    """The format that the path ends in or the parameter names; PNG without either."""
    asked = parameters.take("format")
    by_suffix = file_format_of(suffix)
    if suffix and by_suffix is None:
        raise NotFoundError(f"pictures do not end in {suffix[:20]!r} here; use {', '.join(_suffixes())}")
    if asked is not None and asked not in _FORMATS:
        raise InvalidRequestError(f"format is {asked[:40]!r}; use {', '.join(_FORMATS)}", field="format")
    if asked is not None and by_suffix is not None and by_suffix.name != asked:
        raise InvalidRequestError(f"the path ends in {suffix} and format is {asked}; give one of them", field="format")
    form = _FORMATS[asked] if asked is not None else by_suffix or _FORMATS["png"]
    return form, _encoding(form, parameters)


def read_form(parameters: Parameters) -> tuple[FileFormat, ImageEncoding] | None:
    """The format that the parameter names, and its quality; None without it. Raises InvalidRequestError."""
    asked = parameters.take("format")
    if asked is None:
        return None
    if asked not in _FORMATS:
        raise InvalidRequestError(f"format is {asked[:40]!r}; use {', '.join(_FORMATS)}", field="format")
    return _FORMATS[asked], _encoding(_FORMATS[asked], parameters)


def _encoding(form: FileFormat, parameters: Parameters) -> ImageEncoding:
    encoding = ImageEncoding(format=form.number)
    quality = parameters.take_whole("quality", low=1, high=100)
    if quality is not None:
        if not form.takes_quality:
            raise InvalidRequestError(f"quality does not go with {form.name}; leave it out", field="quality")
        encoding.quality = quality
    return encoding


def _read_layout(parameters: Parameters, num_samples: int) -> Layout:
    columns = parameters.take_whole("columns", low=1, high=num_samples)
    gap = parameters.take_whole("gap", low=0, high=_MOST_GAP)
    return Layout(columns=columns) if gap is None else Layout(columns=columns, gap=gap)


def _suffixes() -> list[str]:
    return [suffix for form in FILE_FORMATS for suffix in form.suffixes]


def _written(place: str, form: FileFormat, parameters: Parameters) -> str:
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.written.items())
    return f"{place}{form.suffixes[0]}" + (f"?{query}" if query else "")
