"""The models beside the client's own: asked for once, pinned for a whole call, and held against the replies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from ganserve.client import Client, InvalidRequestError, NotFoundError, PreconditionError, ServerError, UnsupportedError
from ganserve.client._calls import core
from ganserve.contract.images import Images
from ganserve.v1.generator_pb2 import (
    GenerateRequest,
    GetModelRequest,
    SampleBatch,
    SampleQuery,
    StreamSamplesRequest,
)
from ganserve.v1.model_pb2 import ImageInput, ImageRole, ModelCard, ModelIdentity, ModelKind, ServedModel

from ...scorers import scorer_card
from .conftest import Connect
from .scripted import CHANNELS, HEIGHT, WIDTH, Script, ScriptedServer

SCORER, LARGER = "cd" * 32, "ef" * 32
CHAIN: dict[str, Any] = {"seed": 7, "best_of": 4, "then": ["sr2x:1", f"sr2x@{LARGER}"]}


@pytest.fixture
def script() -> Script:
    return Script(further={"digits-classifier": SCORER, "sr2x": LARGER})


def test_all_requests_of_a_call_name_the_very_models(connect: Connect, server: ScriptedServer, script: Script) -> None:
    client = connect(server.address)
    samples = client.generate(25, **CHAIN)
    queries = [request.query for request in script.asked(GenerateRequest)]
    assert len(queries) > 10  # of 10 samples a request, four rows each
    assert {query.best_of.scorer.digest for query in queries} == {SCORER}
    assert {query.best_of.candidates for query in queries} == {4}
    assert {tuple(selector.digest for selector in query.then) for query in queries} == {(LARGER, LARGER)}
    assert len(samples.scores["own_class"]) == 25
    asked = [request.model.name for request in script.asked(GetModelRequest)]
    assert asked.count("digits-classifier") == 1
    assert asked.count("sr2x") == 1  # the other one is known by its digest


def test_a_name_is_asked_for_again_every_few_seconds(
    connect: Connect, server: ScriptedServer, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(server.address)
    client.generate(2, **CHAIN)
    client.generate(2, **CHAIN)
    assert [request.model.name for request in script.asked(GetModelRequest)].count("digits-classifier") == 1
    monkeypatch.setattr(core, "_LOOK_AGAIN_S", 0.0)
    client = connect(server.address)
    client.generate(2, **CHAIN)
    script.further["digits-classifier"] = "12" * 32
    scorer = client.generate(2, **CHAIN).scorer
    assert scorer is not None
    assert scorer.digest == "12" * 32


def test_streams_and_batches_name_them_too(connect: Connect, server: ScriptedServer, script: Script) -> None:
    client = connect(server.address)
    assert sum(map(len, client.stream(9, **CHAIN))) == 9
    assert [len(samples) for samples in client.batches(4, n=8, **CHAIN)] == [4, 4]
    asked = [*script.asked(StreamSamplesRequest), *script.asked(GenerateRequest)]
    assert {request.query.best_of.scorer.digest for request in asked} == {SCORER}


@pytest.mark.parametrize(
    ("options", "field"),
    [({"best_of": 4}, "query.best_of"), ({"then": "sr2x"}, "query.then"), (CHAIN, "query.best_of")],
)
def test_a_server_that_overlooks_them_is_not_believed(
    connect: Connect, server: ScriptedServer, script: Script, options: dict[str, Any], field: str
) -> None:
    script.knows_chains = False
    client = connect(server.address)
    for ask in (client.generate, lambda *args, **options: next(client.stream(*args, **options))):
        with pytest.raises(UnsupportedError, match="knows nothing of best_of and then") as caught:
            ask(2, **options)
        assert caught.value.field == field


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda batch: batch.ClearField("then"), "samples that passed other models"),
        (lambda batch: batch.then.add(digest=LARGER), "samples that passed other models"),
        (lambda batch: batch.scorer.MergeFrom(ModelIdentity(digest="0" * 64)), "samples that passed other models"),
        (lambda batch: batch.MergeFrom(SampleBatch(best_of=5)), "the best of 5 where that of 4 was asked for"),
        (lambda batch: batch.scores[0].values.pop(), "the reply holds 0 numbers of own_class for 1 sample"),
        (lambda batch: batch.scores[0].percentiles.extend([1, 2]), "holds 2 percentiles of own_class for 1 sample"),
    ],
)
def test_a_reply_of_other_models_is_refused(
    connect: Connect, server: ScriptedServer, script: Script, change: Any, text: str
) -> None:
    make = script._batch

    def make_other(*arguments: Any) -> SampleBatch:
        batch = make(*arguments)
        change(batch)
        return batch

    script._batch = make_other  # type: ignore[assignment,method-assign]
    with pytest.raises(ServerError, match=text):
        connect(server.address).generate(2, **CHAIN)


@pytest.mark.parametrize(
    ("options", "error", "text", "field"),
    [
        ({"best_of": 2, "scorer": "nobody"}, NotFoundError, "no model 'nobody'", "model.name"),
        ({"then": ["sr2x", ""]}, InvalidRequestError, "name", None),
        ({"best_of": 1}, InvalidRequestError, "best_of is 1", "query.best_of.candidates"),
        ({"best_of": 2.5}, InvalidRequestError, "best_of is 2.5", "query.best_of.candidates"),
        ({"scorer": "digits-classifier"}, InvalidRequestError, "give best_of too", "query.best_of"),
    ],
)
def test_what_cannot_be_asked_for_is_told(
    connect: Connect,
    server: ScriptedServer,
    script: Script,
    options: dict[str, Any],
    error: type[Exception],
    text: str,
    field: str | None,
) -> None:
    with pytest.raises(error, match=text) as caught:
        connect(server.address).generate(2, **options)
    assert field in (None, caught.value.field)  # type: ignore[attr-defined]
    assert not script.asked(GenerateRequest)


class Moving(Script):
    """A server of models that take images, whose name comes to stand for another; a digest is answered by its own."""

    card = ModelCard()

    def served(self) -> ServedModel:
        served = super().served()
        served.card.CopyFrom(self.card)
        return served

    def _count(self, query: SampleQuery) -> int:
        return len(query.images.pixels) // (HEIGHT * WIDTH * CHANNELS)

    def _batch(self, query: SampleQuery, start: int, count: int, digest: str) -> SampleBatch:  # noqa: ARG002
        batch = SampleBatch(count=count, pixels=query.images.pixels, format=query.encoding.format)
        batch.model.digest = query.model.digest or digest
        if self.card.kind == ModelKind.MODEL_KIND_SCORER:
            batch.ClearField("pixels")
            for score in self.card.scores:
                batch.scores.add(name=score.name, values=range(count))
        else:
            batch.image.CopyFrom(self.card.image)
        return batch


@pytest.fixture
def moving(request: pytest.FixtureRequest) -> Iterator[ScriptedServer]:
    script = Moving(max_samples=1000, obeys_pins=False)
    script.card = request.param
    server = ScriptedServer(script)
    yield server
    server.stop()


def translator_card() -> ModelCard:
    card = ModelCard(kind=ModelKind.MODEL_KIND_TRANSLATOR, halo=0)
    card.image.height, card.image.width, card.image.channels = HEIGHT, WIDTH, CHANNELS
    card.inputs.append(ImageInput(name="image", role=ImageRole.IMAGE_ROLE_IMAGE, shape=card.image))
    return card


def images_while_the_name_moves(script: Script) -> Iterator[Images]:
    for number in range(900):
        if number == 500:
            script.digest = "99" * 32
        yield np.full((HEIGHT, WIDTH, CHANNELS), number % 256, np.uint8)


@pytest.mark.parametrize("moving", [translator_card()], indirect=True)
@pytest.mark.parametrize("way", ["own", "named"])
def test_images_of_one_call_are_transformed_by_one_model(moving: ScriptedServer, way: str) -> None:
    script = moving.script
    first = script.digest
    with Client(moving.address, model="digits" if way == "own" else "faces") as client:
        images = images_while_the_name_moves(script)
        made = list(client.transform(images, model=None if way == "own" else "digits"))
    assert [int(image[0, 0, 0]) for image in made] == [number % 256 for number in range(900)]
    digests = [request.query.model.digest for request in script.asked(GenerateRequest)]
    assert len(digests) > 1
    assert set(digests) == {first} != {script.digest}


@pytest.mark.parametrize("moving", [scorer_card((), (HEIGHT, WIDTH, CHANNELS))], indirect=True)
def test_images_of_one_call_are_scored_by_one_model(connect: Connect, moving: ScriptedServer) -> None:
    script = moving.script
    first = script.digest
    scores = connect(moving.address).score(images_while_the_name_moves(script))
    assert len(scores) == 900
    assert scores.model.digest == first
    assert {request.query.model.digest for request in script.asked(GenerateRequest)} == {first}


def test_a_digest_that_no_server_has_is_refused(connect: Connect, server: ScriptedServer, script: Script) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("it was asked for")

    script._batch = refuse  # type: ignore[assignment]
    del script.further["sr2x"]
    with pytest.raises((NotFoundError, PreconditionError)):
        connect(server.address).generate(2, seed=1, then=f"sr2x@{LARGER}")
