"""What is made of a source, as the contract's message; the same with a server and without."""

from __future__ import annotations

from ganserve.contract.bundle import LABELS_INPUT
from ganserve.contract.rows import Rows
from ganserve.v1.generator_pb2 import ImageEncoding, ImageFormat, SampleBatch
from ganserve.v1.model_pb2 import ModelCard, ModelIdentity

from .sources import Source


def describe_batch(
    identity: ModelIdentity, card: ModelCard, source: Source, start: int, made: Rows, encoding: ImageEncoding
) -> SampleBatch:
    """A batch of the rows from `start` of a source on, with everything but the images."""
    labels = made.columns.get(LABELS_INPUT)
    return SampleBatch(
        model=identity,
        count=len(made),
        image=card.image,
        seed=source.seed,
        first_index=source.first_index + start,
        labels=None if labels is None else labels.tolist(),
        format=encoding.format or ImageFormat.IMAGE_FORMAT_RAW,
    )
