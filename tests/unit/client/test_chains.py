"""The best of several candidates, and samples that pass through translators: from a bundle and from a server alike."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganserve.client import (
    AsyncClient,
    Client,
    InvalidRequestError,
    LocalGenerator,
    NotFoundError,
    PreconditionError,
    Samples,
)
from ganserve.v1.bundle_pb2 import Parity
from ganserve.v1.model_pb2 import ImageInput, ImageRole, ImageShape, ModelCard

from ...scorers import CLASSES, SHAPE, forget_the_image, make_scorer, mix_with_the_batch, scores_of
from ...servers import ServerProcess, StartServer
from ...snippets import DOCUMENTS
from ...translators import make_translator

SMALL = SHAPE[:2]
LARGE = (2 * SMALL[0], 2 * SMALL[1])
CANDIDATES = 4
GOLDEN = {
    "balanced": (0, 6, 10, 13, 16, 23, 26, 28),
    "cat": (3, 6, 11, 13, 16, 23, 26, 30),
}
"""Candidates of seed 7 that are the samples 0 to 7, of four each."""

LABELS: dict[str, Any] = {"balanced": "balanced", "uniform": "uniform", "one": "dog", "list": [2, 0, 0, 1, 2]}


@pytest.fixture(scope="module")
def models(
    tmp_path_factory: pytest.TempPathFactory, tiny_parity: Parity, tiny_card: ModelCard, make_bundle: Any
) -> Path:
    folder = tmp_path_factory.mktemp("models")
    make_bundle(folder)
    plain = ModelCard()
    plain.CopyFrom(tiny_card)
    plain.ClearField("class_names")
    make_bundle(folder, "plain", card=plain)
    make_scorer(folder, tiny_parity)
    make_scorer(folder, tiny_parity, version=2)
    make_scorer(folder, tiny_parity, "plain-discriminator", classes=[], has_quantiles=False)
    make_scorer(folder, tiny_parity, "flat", change=forget_the_image)
    make_scorer(folder, tiny_parity, "unsteady", change=mix_with_the_batch)
    make_scorer(folder, tiny_parity, "cats-and-dogs", classes=CLASSES[:2])
    make_scorer(folder, tiny_parity, "large-scorer", shape=(*LARGE, 3))
    make_translator(folder, tiny_parity, "blur2x", tile=SMALL)
    make_translator(folder, tiny_parity, "again2x", tile=LARGE)
    make_translator(folder, tiny_parity, "conditional2x", tile=SMALL, change=with_classes)
    make_translator(folder, tiny_parity, "masked2x", tile=SMALL, change=with_mask)
    return folder


def with_classes(card: ModelCard) -> None:
    card.class_names.extend(CLASSES)


def with_mask(card: ModelCard) -> None:
    shape = ImageShape(height=SMALL[0], width=SMALL[1], channels=1)
    card.inputs.append(ImageInput(name="mask", role=ImageRole.IMAGE_ROLE_MASK, shape=shape))


@pytest.fixture(scope="module")
def server(models: Path, start_server: StartServer) -> Iterator[ServerProcess]:
    with start_server(models) as server:
        yield server


@pytest.fixture(scope="module")
def small_batches(models: Path, start_server: StartServer) -> Iterator[ServerProcess]:
    """Of batches that no number of candidates divides, so that theirs are spread over several."""
    with start_server(models, "--max-batch", "3") as server:
        yield server


@pytest.fixture(params=["bundle", "server", "small batches"])
def source(
    request: pytest.FixtureRequest, models: Path, server: ServerProcess, small_batches: ServerProcess
) -> Iterator[Any]:
    """Samples of the generator `tiny`, in every way."""
    kinds: dict[str, Callable[[], Any]] = {
        "bundle": lambda: LocalGenerator(models / "tiny" / "1"),
        "server": lambda: Client(server.address, model="tiny"),
        "small batches": lambda: Client(small_batches.address, model="tiny"),
    }
    with kinds[request.param]() as source:
        yield source


@pytest.fixture(scope="module")
def generator(models: Path) -> Iterator[LocalGenerator]:
    """The generator alone, of which the tests work out what is to come."""
    with LocalGenerator(models / "tiny" / "1") as generator:
        yield generator


def choice(
    generator: LocalGenerator, indices: Sequence[int], candidates: int, *, seed: int, labels: Any, version: int = 2
) -> tuple[list[int], Samples, list[float]]:
    """By the definition: numbers of the chosen candidates, those samples, and the scores that chose them."""
    numbers, samples, chosen_by = [], [], []
    for index in indices:
        (label,) = generator.generate(indices=[index], seed=seed, labels=labels).labels.tolist()  # type: ignore[union-attr]
        first = candidates * index
        made = generator.generate(candidates, seed=seed, first_index=first, labels=label)
        scores = scores_of(made.numpy(), version=version)[:, 1 + label]
        place = int(scores.argmax())
        numbers.append(first + place)
        samples.append(made.between(place, place + 1))
        chosen_by.append(float(scores[place]))
    return numbers, Samples.join(samples), chosen_by


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
@pytest.mark.parametrize("candidates", [2, 3, 7, 64])
def test_sample_j_is_the_best_of_candidates_nj_and_on(
    source: Any, generator: LocalGenerator, candidates: int, labels: Any
) -> None:
    first = 3 if candidates < 64 else 2**58 - 5  # the last five of 64 each
    indices = range(first, first + 5)
    _, expected, scores = choice(generator, indices, candidates, seed=11, labels=labels)
    made = source.generate(5, seed=11, first_index=first, labels=labels, best_of=candidates)
    assert np.array_equal(made.numpy(), expected.numpy())
    assert expected.labels is not None
    assert made.labels.tolist() == expected.labels.tolist()
    assert made.indices.tolist() == list(indices)
    assert list(made.scores) == ["own_class"]
    assert made.scores["own_class"].tolist() == scores
    assert made.best_of == candidates
    assert (made.scorer.name, made.scorer.version) == ("tiny-classifier", 2)


def test_it_does_not_matter_how_they_are_asked_for(source: Any) -> None:
    asked = {"seed": 7, "best_of": 5, "scorer": "tiny-classifier:1"}
    whole = source.generate(40, **asked)
    order = [7, 39, 0, 7, 21]
    scattered = source.generate(indices=order, **asked)
    assert np.array_equal(scattered.numpy(), whole.numpy()[order])
    assert scattered.scores["own_class"].tolist() == whole.scores["own_class"][order].tolist()
    assert scattered.percentiles["own_class"].tolist() == whole.percentiles["own_class"][order].tolist()
    ways = {
        "one by one": [source.generate(1, first_index=index, **asked) for index in range(40)],
        "in parts": [
            source.generate(count, first_index=first, **asked) for first, count in ((0, 1), (1, 16), (17, 23))
        ],
        "streamed": list(source.stream(40, **asked)),
        "streamed by sevens": list(source.stream(40, batch_size=7, **asked)),
        "in batches": list(source.batches(16, n=40, **asked)),
        "as files": [source.generate(40, format="png", **asked)],
    }
    for parts in ways.values():
        assert np.array_equal(np.concatenate([part.numpy() for part in parts]), whole.numpy())
        for told in ("scores", "percentiles"):
            values = [getattr(part, told)["own_class"] for part in parts]
            assert np.array_equal(np.concatenate(values), getattr(whole, told)["own_class"])
        assert {(part.best_of, part.scorer.digest) for part in parts} == {(5, whole.scorer.digest)}


def test_an_unconditional_generator_takes_the_scorers_first_number(models: Path, server: ServerProcess) -> None:
    with LocalGenerator(models / "plain" / "1") as here, Client(server.address, model="plain") as there:
        candidates = here.generate(15, seed=2, first_index=30).numpy()
        for name, version in (("tiny-classifier:2", 2), ("plain-discriminator", 1)):
            scores = scores_of(candidates, 4, version)[:, 0] if version == 2 else scores_of(candidates, 1)[:, 0]
            best = scores.reshape(5, 3).argmax(1) + np.arange(0, 15, 3)
            for source in (here, there):
                made = source.generate(5, seed=2, first_index=10, best_of=3, scorer=name)
                assert np.array_equal(made.numpy(), candidates[best])
                assert made.scores["realness"].tolist() == scores[best].tolist()
                assert made.labels is None
                assert ("realness" in made.percentiles) == (version == 2)


def test_a_scorer_without_classes_takes_its_first_number_whatever_the_class(source: Any) -> None:
    made = source.generate(6, seed=3, best_of=2, scorer="plain-discriminator")
    assert made.scores["realness"].tolist() == scores_of(made.numpy(), 1)[:, 0].tolist()
    assert made.percentiles == {}


def test_of_equal_candidates_the_first_is_taken(source: Any, generator: LocalGenerator) -> None:
    made = source.generate(5, seed=3, labels=1, best_of=3, scorer="flat")
    firsts = generator.generate(indices=range(0, 15, 3), seed=3, labels=1)
    assert np.array_equal(made.numpy(), firsts.numpy())


def test_truncation_and_spread_are_those_of_the_candidates(source: Any, generator: LocalGenerator) -> None:
    options: dict[str, Any] = {"seed": 5, "truncation": 0.8, "spread": 1.5, "labels": 0}
    candidates = generator.generate(8, **options).numpy()
    best = scores_of(candidates, version=2)[:, 1].reshape(2, 4).argmax(1) + np.array([0, 4])
    assert np.array_equal(source.generate(2, best_of=4, **options).numpy(), candidates[best])


def test_counts_hold_for_what_is_chosen(source: Any) -> None:
    made = source.generate(counts={"emu": 3, "cat": 2}, seed=1, best_of=3)
    assert made.class_names.tolist() == ["emu"] * 3 + ["cat"] * 2


@pytest.mark.parametrize("labels", GOLDEN)
def test_golden_choices(source: Any, generator: LocalGenerator, labels: str) -> None:
    numbers, expected, _ = choice(generator, range(8), CANDIDATES, seed=7, labels=labels, version=1)
    assert tuple(numbers) == GOLDEN[labels]
    made = source.generate(8, seed=7, labels=labels, best_of=CANDIDATES, scorer="tiny-classifier:1")
    assert np.array_equal(made.numpy(), expected.numpy())


def test_the_document_has_the_golden_choices() -> None:
    text = (DOCUMENTS / "addressing.md").read_text()
    rows = dict(re.findall(r"^\| (balanced|cat) \| ([0-9, ]+) \|$", text.partition("## The best of several")[2], re.M))
    assert {name: tuple(map(int, row.split(", "))) for name, row in rows.items()} == GOLDEN


def test_samples_pass_through_translators_in_their_order(source: Any, generator: LocalGenerator, models: Path) -> None:
    expected = generator.generate(9, seed=4)
    images = list(expected.numpy())
    for name in ("blur2x", "again2x"):
        with LocalGenerator(models / name / "1") as translator:
            images = list(translator.transform(images))
    made = source.generate(9, seed=4, then=["blur2x", "again2x:1"])
    assert made.shape == (24, 20, 3)
    assert np.array_equal(made.numpy(), np.stack(images))
    assert expected.labels is not None
    assert made.labels.tolist() == expected.labels.tolist()
    assert [(model.name, model.version) for model in made.then] == [("blur2x", 1), ("again2x", 1)]
    assert made.model == expected.model
    assert (made.best_of, made.scorer, dict(made.scores)) == (None, None, {})
    parts = list(source.stream(9, seed=4, then=["blur2x", "again2x"], batch_size=2))
    assert np.array_equal(np.concatenate([part.numpy() for part in parts]), made.numpy())
    as_files = source.generate(9, seed=4, then=["blur2x", "again2x"], format="webp")
    assert np.array_equal(as_files.numpy(), made.numpy())


def test_what_is_chosen_is_transformed(source: Any, models: Path) -> None:
    chosen = source.generate(6, seed=4, best_of=3)
    with LocalGenerator(models / "blur2x" / "1") as translator:
        expected = np.stack(list(translator.transform(list(chosen.numpy()))))
    made = source.generate(6, seed=4, best_of=3, then="blur2x")
    assert np.array_equal(made.numpy(), expected)
    assert made.scores["own_class"].tolist() == chosen.scores["own_class"].tolist()
    assert "the best of 3 each by tiny-classifier:2, then blur2x:1" in repr(made)


def test_an_endless_stream_chooses_too(source: Any, generator: LocalGenerator) -> None:
    expected = generator.generate(12, seed=7, best_of=3)
    stream = source.stream(seed=7, best_of=3, batch_size=6)
    assert np.array_equal(np.concatenate([next(stream).numpy() for _ in range(2)]), expected.numpy())
    batches = source.batches(6, seed=7, best_of=3)
    assert np.array_equal(next(batches).numpy(), expected.numpy()[:6])


def test_an_asyncio_client_gives_the_same(server: ServerProcess, generator: LocalGenerator) -> None:
    options: dict[str, Any] = {"seed": 9, "best_of": 3, "then": ["blur2x"]}

    async def ask() -> tuple[Samples, Samples]:
        async with AsyncClient(server.address, model="tiny") as client:
            return await client.generate(20, **options), Samples.join(
                [one async for one in client.stream(20, **options)]
            )

    expected = generator.generate(20, **options)
    for made in asyncio.run(ask()):
        assert np.array_equal(made.numpy(), expected.numpy())
        assert made.scores["own_class"].tolist() == expected.scores["own_class"].tolist()


@pytest.mark.parametrize(
    ("options", "error", "text", "field"),
    [
        ({"best_of": 2, "scorer": "nobody"}, NotFoundError, "'nobody'", None),
        ({"best_of": 2, "scorer": "tiny"}, InvalidRequestError, "tiny is a generator; give the name of a scorer", None),
        (
            {"best_of": 2, "scorer": "blur2x"},
            InvalidRequestError,
            "blur2x is a translator; give the name of a sc",
            None,
        ),
        ({"best_of": 2, "scorer": "cats-and-dogs"}, InvalidRequestError, "cats-and-dogs knows no class 'emu'", None),
        (
            {"best_of": 2, "scorer": "large-scorer"},
            InvalidRequestError,
            "large-scorer takes images of 12×10×3, and those before it are 6×5×3",
            None,
        ),
        ({"best_of": 2, "scorer": "unsteady"}, PreconditionError, "the numbers of unsteady depend on the batch", None),
        ({"then": ["nobody"]}, NotFoundError, "'nobody'", None),
        ({"then": ["blur2x", "tiny"]}, InvalidRequestError, "tiny is a generator; give translators", "query.then[1]"),
        ({"then": "flat"}, InvalidRequestError, "flat is a scorer; give translators", "query.then[0]"),
        (
            {"then": ["blur2x", "blur2x"]},
            InvalidRequestError,
            "blur2x takes images of 6×5×3, and those before it are 12×10×3",
            "query.then[1]",
        ),
        ({"then": "conditional2x"}, InvalidRequestError, "takes more than an image", "query.then[0]"),
        ({"then": "masked2x"}, InvalidRequestError, "masked2x takes more than an image", "query.then[0]"),
        (
            {"then": ["blur2x"] * 9},
            InvalidRequestError,
            "9 translators one after the other; give at most 8",
            "query.then",
        ),
        ({"best_of": 1}, InvalidRequestError, "best_of is 1", "query.best_of.candidates"),
        ({"best_of": 65}, InvalidRequestError, "best_of is 65", "query.best_of.candidates"),
        ({"best_of": True}, InvalidRequestError, "best_of is True", "query.best_of.candidates"),
        ({"scorer": "flat"}, InvalidRequestError, "give best_of too", "query.best_of"),
        (
            {"best_of": 2, "first_index": 2**63},
            InvalidRequestError,
            "has no index above 922337203685477580",
            "query.address",
        ),
        ({"best_of": 2, "indices": [0, 2**64 - 1]}, InvalidRequestError, "has no index above", "query.address"),
    ],
)
def test_what_cannot_be_chained_is_told(
    source: Any, options: dict[str, Any], error: type[Exception], text: str, field: str | None
) -> None:
    with pytest.raises(error, match=re.escape(text)) as caught:
        source.generate(None if "indices" in options else 1, seed=1, **options)
    if error is not NotFoundError:  # which names what is not there
        assert caught.value.field == (field or "query.best_of.scorer")  # type: ignore[attr-defined]
