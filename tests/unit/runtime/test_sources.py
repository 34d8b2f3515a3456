from __future__ import annotations

import math

import numpy as np
import pytest

from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.latents import sample_latents
from ganserve.contract.rows import Rows
from ganserve.contract.tensors import pack_latents
from ganserve.runtime.sources import Source, Span, draw_rows, open_source
from ganserve.v1.generator_pb2 import (
    Balanced,
    ClassBlock,
    ClassBlocks,
    ClassReference,
    ClassWeight,
    LabelPolicy,
    SampleAddress,
    SampleQuery,
    Uniform,
    Weighted,
)
from ganserve.v1.model_pb2 import ModelCard

LATENTS = np.arange(21, dtype=np.float32).reshape(3, 7)


def drawn(source: Source, start: int, count: int) -> Rows:
    return draw_rows([Span(source, start, count)])


@pytest.fixture
def unconditional(tiny_card: ModelCard) -> ModelCard:
    card = ModelCard()
    card.CopyFrom(tiny_card)
    del card.class_names[:]
    return card


def test_an_address_gives_the_latents_of_its_indices(tiny_card: ModelCard) -> None:
    source = open_source(SampleQuery(address=SampleAddress(seed=7, first_index=10, count=20)), tiny_card)
    rows = drawn(source, 5, 4)
    np.testing.assert_array_equal(rows.columns["latents"], sample_latents(7, 15, 4, 7))
    assert source.reported == ("labels",)
    assert (source.seed, source.first_index, source.count) == (7, 10, 20)


def test_without_a_seed_one_is_drawn_and_told(tiny_card: ModelCard) -> None:
    query = SampleQuery(address=SampleAddress(count=2))
    first, second = open_source(query, tiny_card), open_source(query, tiny_card)
    assert first.seed is not None
    assert first.seed != second.seed
    np.testing.assert_array_equal(drawn(first, 0, 2).columns["latents"], sample_latents(first.seed, 0, 2, 7))


def test_explicit_latents_are_passed_through(tiny_card: ModelCard) -> None:
    query = SampleQuery(latents=pack_latents(LATENTS), labels=LabelPolicy(one=ClassReference(name="dog")))
    source = open_source(query, tiny_card)
    rows = drawn(source, 1, 2)
    np.testing.assert_array_equal(rows.columns["latents"], LATENTS[1:])
    assert rows.columns["labels"].tolist() == [1, 1]
    assert (source.seed, source.first_index, source.count) == (None, 0, 3)


COUNTED = LabelPolicy(
    blocks=ClassBlocks(
        blocks=[
            ClassBlock(class_reference=ClassReference(name="emu"), count=4),
            ClassBlock(class_reference=ClassReference(label=0), count=7),
        ]
    )
)


@pytest.mark.parametrize(
    "policy",
    [
        None,
        COUNTED,
        LabelPolicy(uniform=Uniform()),
        LabelPolicy(one=ClassReference(name="dog")),
        LabelPolicy(weighted=Weighted(weights=[ClassWeight(class_reference=ClassReference(label=2), weight=1.0)])),
    ],
)
def test_indices_in_any_order_give_the_rows_of_the_range(policy: LabelPolicy | None, tiny_card: ModelCard) -> None:
    order = [9, 3, 4, 5, 5, 0, 19, 3]
    range_of_20 = SampleAddress(seed=7, truncation=1.5, spread=1.25, count=20)
    some = SampleAddress(seed=7, truncation=1.5, spread=1.25, indices=order)
    whole = open_source(SampleQuery(address=range_of_20, labels=policy), tiny_card)
    picked = open_source(SampleQuery(address=some, labels=policy), tiny_card)
    assert (picked.seed, picked.first_index, picked.count) == (7, 9, 8)
    expected = drawn(whole, 0, 20)[np.array(order)]
    for start, count in ((0, 8), (2, 5)):
        rows = drawn(picked, start, count)
        for name in ("latents", "labels"):
            np.testing.assert_array_equal(rows.columns[name], expected.columns[name][start : start + count])


def test_explicit_latents_may_be_counted(tiny_card: ModelCard) -> None:
    source = open_source(SampleQuery(latents=pack_latents(np.zeros((6, 7))), labels=COUNTED), tiny_card)
    assert drawn(source, 0, 6).columns["labels"].tolist() == [2, 2, 2, 2, 0, 0]


def test_an_unconditional_generator_gets_no_labels(unconditional: ModelCard) -> None:
    source = open_source(SampleQuery(address=SampleAddress(count=2)), unconditional)
    assert drawn(source, 0, 2).columns.keys() == {"latents"}
    assert source.reported == ()


def test_rows_of_many_sources_are_drawn_as_each_would_be_alone(tiny_card: ModelCard) -> None:
    policies = [
        LabelPolicy(),
        LabelPolicy(one=ClassReference(name="dog")),
        LabelPolicy(uniform=Uniform()),
        LabelPolicy(weighted=Weighted(weights=[ClassWeight(class_reference=ClassReference(label=2), weight=1.0)])),
        COUNTED,
    ]
    scattered = SampleQuery(address=SampleAddress(seed=8, indices=[4, 2**64 - 1, 4]))
    addressed = [
        SampleQuery(
            address=SampleAddress(
                seed=seed,
                first_index=2**63 + seed,
                count=9,
                truncation=0.5 * seed if seed else None,
                spread=1.5 if seed % 2 else None,
            ),
            labels=policy if policy.WhichOneof("policy") else None,
        )
        for seed, policy in enumerate(policies)
    ]
    given = SampleQuery(latents=pack_latents(LATENTS), labels=LabelPolicy(one=ClassReference(name="emu")))
    sources = [open_source(query, tiny_card) for query in (*addressed[:2], given, scattered, *addressed[2:])]
    spans = [Span(source, 1, 2) for source in sources] + [Span(sources[0], 0, 1)]
    together = draw_rows(spans)
    alone = Rows.concatenate([draw_rows([span]) for span in spans])
    for name in ("latents", "labels"):
        np.testing.assert_array_equal(together.columns[name], alone.columns[name])


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        (SampleQuery(), "query", "give a sample address or latents"),
        (SampleQuery(address=SampleAddress()), "query.address.count", "count is 0"),
        (
            SampleQuery(address=SampleAddress(first_index=2**64 - 1, count=2)),
            "query.address.first_index",
            "go beyond the last one",
        ),
        (SampleQuery(address=SampleAddress(indices=[1], count=1)), "query.address.indices", "leave first_index"),
        (SampleQuery(address=SampleAddress(indices=[1], first_index=1)), "query.address.indices", "leave first_index"),
        (SampleQuery(address=SampleAddress(indices=[1], truncation=-1)), "query.address.truncation", "above 0"),
        (SampleQuery(address=SampleAddress(count=1, truncation=-1)), "query.address.truncation", "above 0"),
        (SampleQuery(address=SampleAddress(count=1, spread=0)), "query.address.spread", "above 0"),
        (SampleQuery(address=SampleAddress(indices=[1], spread=math.inf)), "query.address.spread", "above 0"),
        (
            SampleQuery(address=SampleAddress(count=1), labels=LabelPolicy()),
            "query.labels",
            "none that this server knows",
        ),
        (
            SampleQuery(address=SampleAddress(count=1), labels=LabelPolicy(one=ClassReference())),
            "query.labels.one",
            "named by neither label nor name",
        ),
        (
            SampleQuery(latents=pack_latents(LATENTS), labels=LabelPolicy(balanced=Balanced())),
            "query.labels",
            "explicit latents have none",
        ),
        (SampleQuery(latents=pack_latents(LATENTS[:, :3])), "query.latents.dim", "this model takes 7"),
    ],
)
def test_unusable_queries_are_refused(query: SampleQuery, field: str, message: str, tiny_card: ModelCard) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        open_source(query, tiny_card)
    assert message in str(caught.value)
    assert caught.value.field == field


def test_labels_for_an_unconditional_generator_are_refused(unconditional: ModelCard) -> None:
    query = SampleQuery(address=SampleAddress(count=1), labels=LabelPolicy(one=ClassReference(label=0)))
    with pytest.raises(InvalidRequestError, match="unconditional: it takes no labels"):
        open_source(query, unconditional)
