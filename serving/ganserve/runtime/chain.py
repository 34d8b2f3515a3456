"""Chains: a checked query, the models that answer it, and what runs on which of them, in which order.

A generator's samples may be the best of several candidates by a scorer, and may pass through translators. What runs the
rows, a server's batcher or lanes alone, is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ganserve.contract.bundle import IMAGES_OUTPUT, LABELS_INPUT, SCORES_OUTPUT
from ganserve.contract.card import is_conditional, is_scorer, is_translator, kind_of
from ganserve.contract.errors import InvalidRequestError, PreconditionError
from ganserve.contract.images import is_raw
from ganserve.contract.rows import Rows
from ganserve.contract.scores import check_candidates, choose, column_of, knows_classes, percentiles
from ganserve.v1.generator_pb2 import ModelSelector, SampleQuery
from ganserve.v1.model_pb2 import ImageShape, ModelCard

from .loader import LoadedModel
from .sources import GivenColumn, Source, Span, candidates_of, open_source

MOST_TRANSLATORS: Final = 8
PERCENTILES: Final = "percentiles"
"""Beside the scores of samples that were chosen: float64 (N, 1)."""


class ChainModel(Protocol):
    """A model of a chain."""

    @property
    def loaded(self) -> LoadedModel: ...
    @property
    def card(self) -> ModelCard: ...


M = TypeVar("M", bound=ChainModel)


class Stages(NamedTuple, Generic[M]):
    """The models that a query names, in the order in which they run."""

    model: M
    scorer: M | None
    then: Sequence[M]

    def loads(self, candidates: int) -> list[tuple[M, int]]:
        """Every model, and the rows that it runs for a sample."""
        scorer = [] if self.scorer is None else [(self.scorer, candidates)]
        return [(self.model, candidates), *scorer, *((model, 1) for model in self.then)]


@dataclass(frozen=True, eq=False, kw_only=True)
class Chain(Generic[M]):
    """A checked query and its models.

    Attributes:
        stages: the models.
        source: the samples that are asked for.
        candidates: of how many each is the best; 1 where nothing is chosen.
    """

    stages: Stages[M]
    source: Source
    candidates: int
    _drawn: Source
    _columns: NDArray[np.intp]

    @classmethod
    def open(cls, query: SampleQuery, stages: Stages[M]) -> Chain[M]:
        """Checks a query against the cards of its models, which `find_stages` has found.

        Raises:
            InvalidRequestError: naming the field at fault and how to mend it.
            PreconditionError: what is chosen among, or the scorer's numbers, depend on the batch where they run.
        """
        source = open_source(query, stages.model.card)
        if is_scorer(stages.model.card) and not is_raw(query.encoding):
            raise InvalidRequestError(
                "a scorer makes numbers and no images; leave the format out", field="query.encoding.format"
            )
        _check_then(stages)
        if stages.scorer is None:
            return cls.of(source, stages)
        candidates = query.best_of.candidates
        if query.WhichOneof("source") != "address":
            raise InvalidRequestError(
                "best_of chooses among the samples of an address; give no latents", field="query.best_of"
            )
        columns = _check_scorer(stages.scorer, stages.model.card)
        _check_steady(stages.model, "images", "query.best_of")
        _check_steady(stages.scorer, "numbers", "query.best_of.scorer")
        drawn = candidates_of(source, candidates)
        return cls(stages=stages, source=source, candidates=candidates, _drawn=drawn, _columns=columns)

    @classmethod
    def of(cls, source: Source, stages: Stages[M]) -> Chain[M]:
        """Of a source of rows for the first model, without a choice."""
        return cls(stages=stages, source=source, candidates=1, _drawn=source, _columns=np.zeros(1, np.intp))

    @property
    def last(self) -> M:
        """The model that makes what is sent."""
        return self.stages.then[-1] if self.stages.then else self.stages.model

    @property
    def loads(self) -> list[tuple[M, int]]:
        """Every model, and the rows that it runs for a sample."""
        return self.stages.loads(self.candidates)

    def steps(self, start: int, count: int) -> Generator[tuple[M, Span], Rows, Rows]:
        """Makes samples `start … start + count - 1`: yields what is to run, takes what came of it, returns them.

        They have the columns that the last model makes, those that the source reports, and, where they were chosen,
        their scores float32 (N, 1) and percentiles.
        """
        drawn = Span(self._drawn, start * self.candidates, count * self.candidates)
        rows = yield self.stages.model, drawn
        if self.stages.scorer is not None:
            scored = yield self.stages.scorer, _images_of(rows, self.stages.scorer)
            rows = self._best(rows, scored.columns[SCORES_OUTPUT])
        for model in self.stages.then:
            made = yield model, _images_of(rows, model)
            rows = rows.with_columns({IMAGES_OUTPUT: made.columns[IMAGES_OUTPUT]})
        return rows

    def _best(self, rows: Rows, scores: NDArray[np.float32]) -> Rows:
        """Of each sample's candidates the best, with its score."""
        assert self.stages.scorer is not None  # noqa: S101 - who has no scorer chooses nothing
        labels = rows.columns.get(LABELS_INPUT)
        columns = self._columns[np.zeros(len(rows), np.intp) if labels is None else labels]
        own = scores[np.arange(len(rows)), columns]
        best = choose(own, self.candidates)
        chosen = rows[best].with_columns({SCORES_OUTPUT: own[best, None]})
        told = _percentiles(self.stages.scorer.card, own[best], columns[best])
        return chosen if told is None else chosen.with_columns({PERCENTILES: told[:, None]})


def find_stages(query: SampleQuery, model: M, find: Callable[[ModelSelector, str], M]) -> Stages[M]:
    """The models of a query whose first one is known; `find` gives that of a selector and its field.

    Raises:
        InvalidRequestError: there are too many; and what `find` raises.
    """
    if len(query.then) > MOST_TRANSLATORS:
        raise InvalidRequestError(
            f"{len(query.then)} translators one after the other; give at most {MOST_TRANSLATORS}", field="query.then"
        )
    scorer = None
    if query.HasField("best_of"):
        check_candidates(query.best_of.candidates)
        if not query.best_of.scorer.name:
            raise InvalidRequestError(
                "best_of names no scorer; give one, as in scorer='digits-classifier'", field="query.best_of.scorer"
            )
        scorer = find(query.best_of.scorer, "query.best_of.scorer")
    return Stages(model, scorer, [find(selector, f"query.then[{place}]") for place, selector in enumerate(query.then)])


def _images_of(rows: Rows, model: ChainModel) -> Span:
    """Images as what the next model is fed."""
    images = GivenColumn(rows.columns[IMAGES_OUTPUT])
    source = Source(columns={model.card.inputs[0].name: images}, count=len(rows), count_field="query")
    return Span(source, 0, len(rows))


def _percentiles(card: ModelCard, own: NDArray[np.float32], columns: NDArray[np.intp]) -> NDArray[np.float64] | None:
    """Of each sample's score, in the column of its class; None where the card does not tell."""
    if not all(card.scores[column].quantiles for column in np.unique(columns)):
        return None
    told = np.empty(len(own), np.float64)
    for column in np.unique(columns):
        told[columns == column] = percentiles(own[columns == column], card.scores[column].quantiles)
    return told


def _check_scorer(scorer: ChainModel, card: ModelCard) -> NDArray[np.intp]:
    """Which of the scorer's numbers counts for each label of the generator. Raises InvalidRequestError."""
    field = "query.best_of.scorer"
    name = scorer.loaded.identity.name
    if not is_scorer(scorer.card):
        raise InvalidRequestError(f"{name} is a {kind_of(scorer.card)}; give the name of a scorer", field=field)
    if is_scorer(card):
        raise InvalidRequestError("best_of goes with a generator", field="query.best_of")
    _check_shape(card.image, scorer, field)
    if not is_conditional(card) or not knows_classes(scorer.card):
        return np.zeros(max(1, len(card.class_names)), np.intp)
    columns = []
    for class_name in card.class_names:
        column = column_of(scorer.card, class_name)
        if column is None:
            raise InvalidRequestError(
                f"{name} knows no class {class_name!r}; give a scorer of the same classes", field=field
            )
        columns.append(column)
    return np.array(columns, np.intp)


def _check_steady(model: ChainModel, made: str, field: str) -> None:
    """Raises PreconditionError where the golden samples were not the same bits in every batch."""
    if not model.loaded.proof.is_steady:
        raise PreconditionError(
            f"the {made} of {model.loaded.identity.name} depend on the batch on {model.loaded.engine.lanes.device}, so "
            "the choice would not be a function of the address; serve it with --device cpu",
            field=field,
        )


def _check_then(stages: Stages[M]) -> None:
    """Raises InvalidRequestError where a model cannot take what the one before makes."""
    shape = stages.model.card.image
    for place, model in enumerate(stages.then):
        field, name = f"query.then[{place}]", model.loaded.identity.name
        if is_scorer(stages.model.card):
            raise InvalidRequestError("a scorer makes no images that a translator could take", field=field)
        if not is_translator(model.card):
            raise InvalidRequestError(f"{name} is a {kind_of(model.card)}; give translators", field=field)
        if model.card.latent_dim or is_conditional(model.card) or len(model.card.inputs) > 1:
            raise InvalidRequestError(
                f"{name} takes more than an image, and there is nothing else in a chain; use `transform`", field=field
            )
        _check_shape(shape, model, field)
        shape = model.card.image


def _check_shape(made: ImageShape, model: ChainModel, field: str) -> None:
    taken = model.card.inputs[0].shape
    if made != taken:
        cure = f"import it with --size {made.height}x{made.width}, or make them at its size"
        if (made.height, made.width) == (taken.height, taken.width):
            cure = "in a chain greyscale stays greyscale; `transform` brings images to a model's channels"
        made_text, taken_text = (f"{shape.height}×{shape.width}×{shape.channels}" for shape in (made, taken))
        raise InvalidRequestError(
            f"{model.loaded.identity.name} takes images of {taken_text}, and those before it are {made_text}; {cure}",
            field=field,
        )
