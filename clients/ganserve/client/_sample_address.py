"""The address of one sample as a line of text, which travels with its image."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ganserve.contract.errors import ArtifactError, PreconditionError
from ganserve.contract.text import printable

from .formats.xmp import find_address, find_recipe, is_marked

_MOST_OF_RECIPE: Final = 400
_KINDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("model", "digest", "scorer"), str),
    **dict.fromkeys(("truncation", "spread"), float | int),
}

if TYPE_CHECKING:
    from ._samples.samples import Samples
    from ._source import SampleSource


@dataclass(frozen=True, kw_only=True)
class Address:
    """All that the image of one sample is a function of.

    Attributes:
        model: name and version that the model had, such as ``digits:1``.
        digest: SHA-256 of its ONNX file.
        seed: 0 to 2^64 - 1.
        index: under the seed, 0 to 2^64 - 1.
        label: the class; None for an unconditional generator.
        truncation: bound on the latents; None where there is none.
        spread: what the latents are multiplied by; None where nothing.
        best_of: of how many candidates the sample is the best; None where nothing was chosen.
        scorer: what chose it, as ``digits-classifier:1@`` and its digest; None where nothing was chosen.
        then: the translators that it passed through, in the same form; None for none.
    """

    model: str
    digest: str
    seed: int
    index: int
    label: int | None = None
    truncation: float | None = None
    spread: float | None = None
    best_of: int | None = None
    scorer: str | None = None
    then: Sequence[str] | None = None

    def generate(self, source: SampleSource) -> Samples:
        """Makes the sample again.

        Raises:
            PreconditionError: the source has another model.
            RequestError: as `Client.generate` does.
        """
        samples = source.generate(
            indices=[self.index],
            seed=self.seed,
            labels=self.label,
            truncation=self.truncation,
            spread=self.spread,
            best_of=self.best_of,
            scorer=self.scorer,
            then=self.then,
        )
        if samples.model.digest != self.digest:
            raise PreconditionError(
                f"the image is by {self.model}@{self.digest[:12]}, and the source has "
                f"{samples.model.name}:{samples.model.version}@{samples.model.digest[:12]}"
            )
        return samples

    def to_json(self) -> str:
        """One line, without what is None."""
        return json.dumps(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """All that is not None, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}

    @classmethod
    def from_json(cls, text: str) -> Address:
        """Reads what `to_json` wrote. Raises ArtifactError for anything else."""
        try:
            return cls(**_checked(json.loads(text)))
        except (AttributeError, TypeError, ValueError, RecursionError):
            raise ArtifactError(f"{text[:200]!r} is no address of a sample") from None


def address_of(path: str | Path) -> Address:
    """The address that an image file carries, which ganserve wrote as PNG, WebP or JPEG.

    Raises:
        ArtifactError: the file cannot be read, or carries none.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror or error}") from error
    text = find_address(data)
    if text is None:
        raise ArtifactError(f"{path} carries no address of a sample; {_reason(data)}")
    return Address.from_json(text)


def _reason(data: bytes) -> str:
    """Why a file carries no address."""
    if recipe := find_recipe(data):
        return f"it shows several, which were made by {printable(recipe)[:_MOST_OF_RECIPE]}"
    if is_marked(data):
        return "it was made from explicit latents, as interpolations are, and only samples of a seed have an address"
    return "it is no image that ganserve wrote, or was edited"


def addresses(samples: Samples) -> Iterator[Address]:
    """The address of each sample; nothing for explicit latents, which have none."""
    if samples.seed is None:
        return
    model = f"{samples.model.name}:{samples.model.version}"
    labels = [None] * len(samples) if samples.labels is None else samples.labels.tolist()
    for index, label in zip(samples.indices.tolist(), labels, strict=True):
        yield Address(
            model=model,
            digest=samples.model.digest,
            seed=samples.seed,
            index=index,
            label=label,
            truncation=samples.truncation,
            spread=samples.spread,
            **samples.chain,
        )


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    """The values themselves. Raises ValueError where one is of another type than it should be."""
    for name, value in values.items():
        if name == "then":
            if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
                raise ValueError
            continue
        if isinstance(value, bool) or not isinstance(value, _KINDS.get(name, int)):
            raise ValueError
    return values
