"""What is made of a source, as the contract's message; the same with a server and without."""

from __future__ import annotations

from ganserve.contract.bundle import LABELS_INPUT
from ganserve.contract.rows import Rows
from ganserve.v1.generator_pb2 import ImageEncoding, ImageFormat, SampleBatch

from .loader import LoadedModel
from .sources import Source


def describe_batch(model: LoadedModel, source: Source, start: int, made: Rows, encoding: ImageEncoding) -> SampleBatch:
    """A batch of the rows from `start` of a source on, with everything but the images."""
    indices = () if source.scattered is None else source.scattered[start : start + len(made)].tolist()
    labels = made.columns[LABELS_INPUT].tolist() if LABELS_INPUT in made.columns else ()
    names = model.card.class_names
    return SampleBatch(
        model=model.identity,
        count=len(made),
        image=model.card.image,
        seed=source.seed,
        labels=labels,
        class_names=[names[label] for label in labels],
        first_index=indices[0] if indices else source.first_index + start,
        indices=indices,
        format=encoding.format or ImageFormat.IMAGE_FORMAT_RAW,
        provenance=model.provenance,
        spread=source.spread,
    )
