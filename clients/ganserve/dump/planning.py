"""From a source and what is asked of it to a plan, or the reason why there can be none."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

from PIL import features

from ganserve.client import CountsLike, LabelsLike, ModelInfo, Samples, SampleSource
from ganserve.client._queries.chains import set_chain
from ganserve.client._queries.requests import address_query
from ganserve.client._samples.model_info import short_name
from ganserve.client.formats.table import Form
from ganserve.client.formats.xmp import SYNTHETIC
from ganserve.contract.card import is_conditional
from ganserve.contract.errors import ConfigError, PreconditionError
from ganserve.contract.images import ImageFormatName
from ganserve.contract.text import counted
from ganserve.v1.dump_pb2 import DumpPlan
from ganserve.v1.generator_pb2 import ImageEncoding, ModelSelector
from ganserve.v1.model_pb2 import ImageShape, Reproducibility

from .plan import DUMP_FORMS, Plan, check_image_format, describe

_READ_ONE_BY_ONE: Final = ("zip", "npz")
_SHARD_SAMPLES: Final = 100_000
_SHARD_BYTES: Final = 2**30  # of pixels


def make_plan(
    source: SampleSource,
    n: int | None = None,
    *,
    format: str,  # noqa: A002
    image_format: ImageFormatName | None = None,
    num_shards: int | None = None,
    seed: int = 0,
    first_index: int = 0,
    labels: LabelsLike | None = None,
    counts: CountsLike | None = None,
    truncation: float | None = None,
    spread: float | None = None,
    best_of: int | None = None,
    scorer: str | None = None,
    then: str | Sequence[str] | None = None,
    within_one_level: bool = False,
) -> Plan:
    """Plans a dump of a source's model, which makes the first sample to say what makes it.

    Args:
        source: where the samples come from.
        n: number of samples; `counts` say it themselves.
        format: ``"folder"``, ``"zip"``, ``"webdataset"``, ``"parquet"`` or ``"npz"``.
        image_format: ``"png"``, ``"webp"`` or ``"raw"``, as the format allows; its usual one by default.
        num_shards: number of shards; see `default_num_shards`.
        seed: as for `Client.generate`; 0 by default, so that the same call gives the same plan.
        first_index: as for `Client.generate`.
        labels: as for `Client.generate`.
        counts: as for `Client.generate`.
        truncation: as for `Client.generate`.
        spread: as for `Client.generate`.
        best_of: as for `Client.generate`.
        scorer: as for `Client.generate`.
        then: as for `Client.generate`.
        within_one_level: whether pixels may differ by one 8-bit level from one making to the next, as a GPU's may.

    Raises:
        ConfigError: a format, image format or number of shards that cannot be used.
        PreconditionError: a pixel could differ from one making to the next.
        RequestError: as `Client.generate` does.
    """
    served = source.get_model()
    form = DUMP_FORMS.get(format)
    if form is None:
        raise ConfigError(f"format {format!r} does not exist; use {', '.join(DUMP_FORMS)}")
    chosen = check_image_format(image_format or form.image_formats[0], form, format)
    if labels is None and counts is None and is_conditional(served.card):
        labels = "balanced"
    query = address_query(
        ModelSelector(name=served.name, version=served.version, digest=served.digest),
        n,
        seed=seed,
        first_index=first_index,
        labels=labels,
        counts=counts,
        truncation=truncation,
        spread=spread,
        encoding=ImageEncoding(),
    )
    query.ClearField("encoding")
    first = source.generate(
        indices=[first_index],
        seed=seed,
        labels=labels,
        counts=counts,
        truncation=truncation,
        spread=spread,
        best_of=best_of,
        scorer=scorer,
        then=then,
    )
    if first.is_chained:
        set_chain(query, **first.chain)
    _check_reproducible(first, served, within_one_level)
    num_samples = query.address.count
    shards = default_num_shards(num_samples, first.shape, format) if num_shards is None else num_shards
    if not 1 <= shards <= min(num_samples, 2**31):
        raise ConfigError(
            f"the number of shards is {shards}; {counted(num_samples, 'sample')} can be divided into "
            f"1 to {num_samples:,}"
        )
    plan = Plan(
        DumpPlan(
            query=query,
            provenance=first.provenance,
            format=format,
            image_format=chosen,
            num_shards=shards,
            image=ImageShape(height=first.shape[0], width=first.shape[1], channels=first.shape[2]),
            class_names=served.card.class_names,
            versions=_versions(form, chosen),
            licences=served.message.licences,
            digital_source_type=SYNTHETIC,
        )
    )
    plan.check(first)
    return plan


def default_num_shards(num_samples: int, shape: tuple[int, int, int], format: str) -> int:  # noqa: A002
    """One for a zip or npz, which training reads one of; else one for each 100,000 samples and GiB of pixels begun."""
    if format in _READ_ONE_BY_ONE:
        return 1
    height, width, channels = shape
    num_bytes = num_samples * height * width * channels
    return max(-(-num_samples // _SHARD_SAMPLES), -(-num_bytes // _SHARD_BYTES))


def _check_reproducible(first: Samples, served: ModelInfo, within_one_level: bool) -> None:
    name = short_name(served.identity)
    if not first.provenance.device:
        raise PreconditionError(
            f"the server does not tell what makes the samples of {name}, so that a pixel could differ from one shard "
            "to the next; update it"
        )
    if first.provenance.reproducibility != Reproducibility.REPRODUCIBILITY_IDENTICAL and not within_one_level:
        raise PreconditionError(
            f"{name} is made by {describe(first.provenance)} of the exporter's samples, not equal to them, so that a "
            "pixel could differ from one making to the next; take a CPU and the version that it was exported with, or "
            "accept a level with within_one_level=True (on the command line, --within-one-level)"
        )


def _versions(form: Form, image_format: str) -> dict[str, str]:
    versions = {"ganserve": version("ganserve"), **form.versions()}
    if image_format == "webp":
        versions["libwebp"] = str(features.version("webp"))
    return versions
