"""What a dump holds: samples by address, cut into shards, and all that their bytes depend on."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import json_format

from ganserve.client import Samples, SampleSource
from ganserve.client._queries.chains import chain_of
from ganserve.client._samples.model_info import short_name
from ganserve.client.formats.contents import Contents
from ganserve.client.formats.table import FORMS, Form
from ganserve.contract.errors import ConfigError, PreconditionError
from ganserve.contract.images import ImageFormatName
from ganserve.v1.dump_pb2 import DumpPlan
from ganserve.v1.generator_pb2 import ClassReference, LabelPolicy, ModelSelector
from ganserve.v1.model_pb2 import Provenance, Reproducibility

from .listing import writing_listing

DUMP_FORMS: Final[Mapping[str, Form]] = {
    "folder": Form(suffix=".csv", writing=writing_listing, lists_files=True),
    **FORMS,
}
"""By name."""

_BATCH_BYTES: Final = 2**18  # of pixels; little enough that a slow model answers in time
_MOST_IN_BATCH: Final = 256
_NUM_AHEAD: Final = 6


@dataclass(frozen=True)
class Plan:
    """A plan that can be carried out, by any number of processes. Equal plans give equal bytes.

    Attributes:
        message: all of it; can be pickled and written down.
    """

    message: DumpPlan

    @property
    def num_samples(self) -> int:
        return self.message.query.address.count

    @property
    def num_shards(self) -> int:
        return self.message.num_shards

    @property
    def form(self) -> Form:
        """The form of the shards' files."""
        return DUMP_FORMS[self.message.format]

    def file_name(self, shard: int) -> str:
        """Name of a shard's file, such as ``samples-00003-of-00016.parquet``."""
        return f"samples-{shard:05d}-of-{self.num_shards:05d}{self.form.suffix}"

    def span(self, shard: int) -> tuple[int, int]:
        """Index of the first sample of a shard, and their number.

        Raises:
            ConfigError: there is no such shard.
        """
        if not 0 <= shard < self.num_shards:
            raise ConfigError(f"there is no shard {shard}; there are 0 to {self.num_shards - 1}")
        start, end = (self.num_samples * place // self.num_shards for place in (shard, shard + 1))
        return self.message.query.address.first_index + start, end - start

    def contents(self, shard: int) -> Contents:
        """What a shard's file is to hold."""
        image, address = self.message.image, self.message.query.address
        return Contents(
            count=self.span(shard)[1],
            last_index=address.first_index + address.count - 1,
            shape=(image.height, image.width, image.channels),
            class_names=self.message.class_names,
            image_format=check_image_format(self.message.image_format, self.form, self.message.format),
            is_chained=any(chain_of(self.message.query).values()),
        )

    def samples(self, shard: int, source: SampleSource) -> Generator[Samples]:
        """The samples of a shard in index order, some of which are asked for ahead, of several servers at once.

        Raises:
            PreconditionError: the source's samples are of another model, or made by something whose pixels may differ.
            RequestError: as `Client.batches` does.
        """
        first_index, count = self.span(shard)
        address = self.message.query.address
        image = self.message.image
        image_bytes = image.height * image.width * image.channels
        batches = source.batches(
            max(1, min(_MOST_IN_BATCH, _BATCH_BYTES // image_bytes)),
            indices=range(first_index, first_index + count),
            prefetch=_NUM_AHEAD,
            seed=address.seed,
            truncation=address.truncation if address.HasField("truncation") else None,
            spread=address.spread if address.HasField("spread") else None,
            **_label_arguments(self.message.query.labels),
            **chain_of(self.message.query),
        )
        with closing(batches):
            for samples in batches:
                self.check(samples)
                yield samples

    def differences(self, other: DumpPlan) -> Iterator[str]:
        """In what another plan differs, for people: ``address.seed is 8 there and 7 here``."""
        here, there = (dict(_leaves(message)) for message in (self.message, other))
        for name in sorted(here.keys() | there.keys()):
            if here.get(name) != there.get(name):
                yield f"{name} is {there.get(name, 'not given')} there and {here.get(name, 'not given')} here"

    def check(self, samples: Samples) -> None:
        """Raises PreconditionError where samples are of another model, or made by something whose pixels may differ."""
        if samples.model.digest != self.message.query.model.digest:
            raise PreconditionError(
                f"the server changed to {short_name(samples.model)}, and the dump is of "
                f"{_short_name(self.message.query.model)}; go on with a server that has that model"
            )
        if samples.provenance != self.message.provenance:
            raise PreconditionError(
                f"the dump is made by {describe(self.message.provenance)}, and this server has "
                f"{describe(samples.provenance)}, which may differ in a pixel; go on with one that is the same"
            )


def describe(provenance: Provenance) -> str:
    """What made samples, for people."""
    if not provenance.device:
        return "something that it does not tell"
    level = " within one level" * (provenance.reproducibility == Reproducibility.REPRODUCIBILITY_WITHIN_ONE_LEVEL)
    return f"ONNX Runtime {provenance.onnxruntime_version} on {provenance.device}{level}"


def check_image_format(name: str, form: Form, format: str) -> ImageFormatName:  # noqa: A002
    """The name itself. Raises ConfigError where a form does not hold such images."""
    for known in form.image_formats:
        if known == name:
            return known
    raise ConfigError(f"{format} holds images as {' or '.join(form.image_formats)}, not as {name}")


def _label_arguments(policy: LabelPolicy) -> dict[str, Any]:
    """The arguments of a call that a policy stands for."""
    match policy.WhichOneof("policy"):
        case "one":
            return {"labels": _key(policy.one)}
        case "list":
            return {"labels": [_key(entry) for entry in policy.list.classes]}
        case "weighted":
            return {"labels": {_key(entry.class_reference): entry.weight for entry in policy.weighted.weights}}
        case "blocks":
            return {"counts": {_key(block.class_reference): block.count for block in policy.blocks.blocks}}
        case None:
            return {}
        case kind:
            return {"labels": kind}


def _key(reference: ClassReference) -> int | str:
    return reference.name if reference.HasField("name") else reference.label


def _leaves(message: DumpPlan) -> Iterator[tuple[str, object]]:
    """Every value of a plan, with the names that lead to it."""
    waiting: list[tuple[str, Any]] = [("", json_format.MessageToDict(message, preserving_proto_field_name=True))]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, Mapping) and value:
            waiting += [
                (f"{name}.{key}".removeprefix(".").removeprefix("query."), inner) for key, inner in value.items()
            ]
        elif isinstance(value, Sequence) and not isinstance(value, str):
            yield name, [str(item) for item in value]
        else:
            yield name, value


def _short_name(model: ModelSelector) -> str:
    return f"{model.name}:{model.version}@{model.digest[:12]}"
