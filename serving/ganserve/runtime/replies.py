"""What is made of a query, as the contract's message; the same with a server and without."""

from __future__ import annotations

from collections.abc import Iterator

from ganserve.contract.bundle import LABELS_INPUT, SCORES_OUTPUT
from ganserve.contract.card import is_scorer
from ganserve.contract.rows import Rows
from ganserve.contract.scores import OWN_CLASS, knows_classes, percentiles
from ganserve.v1.generator_pb2 import ImageEncoding, ImageFormat, SampleBatch, Scores
from ganserve.v1.model_pb2 import ModelCard

from .chain import PERCENTILES, Chain, M


def describe_batch(chain: Chain[M], start: int, made: Rows, encoding: ImageEncoding) -> SampleBatch:
    """A batch of the rows from `start` of a query on, with everything but the images."""
    model, source, stages = chain.stages.model.loaded, chain.source, chain.stages
    indices = () if source.scattered is None else source.scattered[start : start + len(made)].tolist()
    labels = made.columns[LABELS_INPUT].tolist() if LABELS_INPUT in made.columns else ()
    names = model.card.class_names
    batch = SampleBatch(
        model=model.identity,
        count=len(made),
        seed=source.seed,
        labels=labels,
        class_names=[names[label] for label in labels],
        first_index=indices[0] if indices else source.first_index + start,
        indices=indices,
        provenance=model.provenance,
        spread=source.spread,
        then=[translator.loaded.identity for translator in stages.then],
    )
    if is_scorer(model.card):
        batch.scores.extend(_all_scores(model.card, made))
        return batch
    batch.image.CopyFrom(chain.last.card.image)
    batch.format = encoding.format or ImageFormat.IMAGE_FORMAT_RAW
    if stages.scorer is not None:
        batch.best_of = chain.candidates
        batch.scorer.CopyFrom(stages.scorer.loaded.identity)
        batch.scores.append(_own_score(stages.scorer.card, model.card, made))
    return batch


def _all_scores(card: ModelCard, made: Rows) -> Iterator[Scores]:
    for score, values in zip(card.scores, made.columns[SCORES_OUTPUT].T, strict=True):
        told = percentiles(values, score.quantiles) if score.quantiles else ()
        yield Scores(name=score.name, values=values, percentiles=told)


def _own_score(card: ModelCard, of: ModelCard, made: Rows) -> Scores:
    """The numbers that chose samples of a model."""
    name = OWN_CLASS if of.class_names and knows_classes(card) else card.scores[0].name
    told = made.columns[PERCENTILES][:, 0] if PERCENTILES in made.columns else ()
    return Scores(name=name, values=made.columns[SCORES_OUTPUT][:, 0], percentiles=told)
