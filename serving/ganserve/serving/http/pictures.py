"""URLs of pictures: read, and written again as the one URL that always means the same."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from starlette.datastructures import QueryParams
from starlette.requests import Request

from ganserve.contract.card import is_conditional
from ganserve.contract.errors import InvalidRequestError, NotFoundError
from ganserve.contract.images import FILE_FORMATS, FileFormat, file_format_of
from ganserve.contract.interpolation import SeedAndIndex, latents_between
from ganserve.contract.labels import list_names
from ganserve.contract.latents import NUM_INDICES, NUM_SEEDS
from ganserve.contract.tensors import pack_latents
from ganserve.v1.generator_pb2 import (
    Balanced,
    ClassReference,
    ImageEncoding,
    LabelPolicy,
    ModelSelector,
    SampleAddress,
    SampleQuery,
    Uniform,
)
from ganserve.v1.model_pb2 import ModelCard

SAMPLES_PATH: Final = "/v1/models/{model}/samples/{seed}/{file}"
INTERPOLATIONS_PATH: Final = "/v1/models/{model}/interpolations/{start}/{file}"

_SELECTOR: Final = re.compile(r"(?P<name>[^:@]+)(?::(?P<version>[0-9]{1,10}))?(?:@(?P<digest>[0-9a-f]{64}))?")
_FILE: Final = re.compile(r"(?P<name>[0-9:-]+)(?P<suffix>\.[a-z]+)?")
_RANGE: Final = re.compile(r"(?P<first>[0-9]{1,20})(?:-(?P<last>[0-9]{1,20}))?")
_ADDRESS: Final = re.compile(r"(?P<seed>[0-9]{1,20}):(?P<index>[0-9]{1,20})")
_WHOLE: Final = re.compile("[0-9]{1,9}")
_REAL: Final = re.compile(r"[0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?", re.IGNORECASE)
_POLICIES: Final = {
    "balanced": LabelPolicy(balanced=Balanced()),
    "uniform": LabelPolicy(uniform=Uniform()),
}
_FORMATS: Final = {form.name: form for form in FILE_FORMATS}
_MAX_VERSION: Final = 2**32 - 1
_STEPS: Final = 9
_MOST_STEPS: Final = 32


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One image file.

    Attributes:
        query: the samples that it shows.
        columns: samples a row; None for about as many as there are rows.
        form: its format.
        url: what it is a function of beside the model, as the end of a URL.
    """

    query: SampleQuery
    columns: int | None
    form: FileFormat
    url: str


@dataclass
class _Parameters:
    """What stands behind the question mark. Each is taken once, and what nobody takes is a mistake.

    Attributes:
        written: those taken, in that order, as they stand in the URL that is written again.
    """

    given: QueryParams
    written: dict[str, str] = field(default_factory=dict)
    _known: set[str] = field(default_factory=set)

    def take(self, name: str) -> str | None:
        """The text of a parameter, if it is there."""
        self._known.add(name)
        texts = self.given.getlist(name)
        if len(texts) > 1:
            raise InvalidRequestError(f"{name} is given {len(texts)} times; give it once", field=name)
        return texts[0] if texts else None

    def take_whole(self, name: str, *, low: int, high: int) -> int | None:
        """A whole number."""
        text = self.take(name)
        if text is None:
            return None
        if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
            raise InvalidRequestError(f"{name} is {text[:40]!r}; give a whole number, {low} to {high}", field=name)
        self.written[name] = str(int(text))
        return int(text)

    def take_real(self, name: str) -> float | None:
        """A number."""
        text = self.take(name)
        if text is None:
            return None
        if not _REAL.fullmatch(text):
            raise InvalidRequestError(f"{name} is {text[:40]!r}; give a number, such as 1.5", field=name)
        self.written[name] = repr(float(text))
        return float(text)

    def take_labels(self, card: ModelCard) -> LabelPolicy | None:
        """A class by its name or label, or a policy; a number is a label unless a class has that very name."""
        text = self.take("class")
        if text is None:
            return None
        self.written["class"] = text
        if text not in card.class_names:
            if text in _POLICIES:
                return _POLICIES[text]
            if _WHOLE.fullmatch(text):
                return LabelPolicy(one=ClassReference(label=int(text)))
        return LabelPolicy(one=ClassReference(name=text))

    def check_all_taken(self) -> None:
        """Raises InvalidRequestError where something is given that has no meaning here."""
        for name in self.given:
            if name not in self._known:
                known = ", ".join(sorted(self._known))
                raise InvalidRequestError(f"there is no parameter {name[:40]!r}; use {known}", field=name[:40])


def read_selector(text: str) -> ModelSelector:
    """A model as URLs name it: `name`, `name:version`, `name@digest` or `name:version@digest`."""
    match = _SELECTOR.fullmatch(text)
    if not match or int(match["version"] or 0) > _MAX_VERSION:
        raise NotFoundError(
            f"there is no model {text[:80]!r}; give its name, or name:version, or name@digest with all 64 digits"
        )
    selector = ModelSelector(name=match["name"], digest=match["digest"] or "")
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
    parameters = _Parameters(request.query_params)
    address = SampleAddress(seed=seed, first_index=first, count=min(last - first + 1, NUM_INDICES - 1))
    labels = parameters.take_labels(card)
    if (truncation := parameters.take_real("truncation")) is not None:
        address.truncation = truncation
    if (spread := parameters.take_real("spread")) is not None:
        address.spread = spread
    form, encoding = _read_format(parameters, suffix)
    columns = parameters.take_whole("columns", low=1, high=address.count) if match["last"] else None
    parameters.check_all_taken()
    return Picture(
        query=SampleQuery(model=selector, address=address, labels=labels, encoding=encoding),
        columns=columns,
        form=form,
        url=_written(f"samples/{seed}/{first}" + (f"-{last}" if match["last"] else ""), form, parameters),
    )


def read_interpolation(request: Request, selector: ModelSelector, card: ModelCard) -> Picture:
    """The picture of the samples on the way from one address to another, in one row. Raises as `read_samples` does."""
    name, suffix = _read_file(request.path_params["file"])
    start, stop = _read_address(request.path_params["start"]), _read_address(name)
    parameters = _Parameters(request.query_params)
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
    columns = parameters.take_whole("columns", low=1, high=num_steps)
    parameters.check_all_taken()
    latents = latents_between(start, stop, num_steps, card.latent_dim, truncation, spread)
    place = f"interpolations/{start[0]}:{start[1]}/{stop[0]}:{stop[1]}"
    return Picture(
        query=SampleQuery(model=selector, latents=pack_latents(latents), labels=labels, encoding=encoding),
        columns=columns or num_steps,
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


def _read_format(parameters: _Parameters, suffix: str) -> tuple[FileFormat, ImageEncoding]:
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
    encoding = ImageEncoding(format=form.number)
    quality = parameters.take_whole("quality", low=1, high=100)
    if quality is not None:
        if not form.takes_quality:
            raise InvalidRequestError(f"quality does not go with {form.name}; leave it out", field="quality")
        encoding.quality = quality
    return form, encoding


def _suffixes() -> list[str]:
    return [suffix for form in FILE_FORMATS for suffix in form.suffixes]


def _written(place: str, form: FileFormat, parameters: _Parameters) -> str:
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.written.items())
    return f"{place}{form.suffixes[0]}" + (f"?{query}" if query else "")
