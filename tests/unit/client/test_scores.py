"""Numbers of images, from every client alike, and what goes with them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganserve.client import (
    Address,
    ArtifactError,
    AsyncClient,
    Client,
    InvalidRequestError,
    LocalGenerator,
    PreconditionError,
    Samples,
    Scores,
    address_of,
)
from ganserve.contract.images import Images
from ganserve.contract.resizing import Resize, ResizeMode, resize_array
from ganserve.contract.scores import percentiles
from ganserve.contract.textures import sample_textures
from ganserve.v1.bundle_pb2 import Parity

from ...scorers import CLASSES, SHAPE, make_scorer, scorer_card, scores_of
from ...servers import ServerProcess, StartServer
from ...translators import make_translator

IMAGES = sample_textures(1, 0, 7, SHAPE)
Score = Callable[..., Scores]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, tiny_parity: Parity, make_bundle: Any) -> Path:
    folder = tmp_path_factory.mktemp("models")
    make_bundle(folder)
    make_scorer(folder, tiny_parity)
    make_scorer(folder, tiny_parity, "realness", classes=[], has_quantiles=False)
    make_scorer(folder, tiny_parity, "grey", shape=(6, 5, 1))
    for mode in ("crop", "pad"):
        make_scorer(folder, tiny_parity, mode, config={"resize_mode": mode})
    make_translator(folder, tiny_parity, tile=SHAPE[:2])
    return folder


@pytest.fixture(scope="module")
def server(models: Path, start_server: StartServer) -> Iterator[ServerProcess]:
    with start_server(models) as server:
        yield server


@pytest.fixture(params=["bundle", "client", "asyncio client"])
def score(request: pytest.FixtureRequest, models: Path, server: ServerProcess) -> Score:
    """Scores images by a model, in every way."""

    def here(images: Any, model: str = "tiny-classifier", **options: Any) -> Scores:
        with LocalGenerator(models / model / "1") as source:
            return source.score(images, **options)

    def there(images: Any, model: str = "tiny-classifier", **options: Any) -> Scores:
        with Client(server.address, model="tiny") as client:
            return client.score(images, model=model, **options)

    def by_asyncio(images: Any, model: str = "tiny-classifier", **options: Any) -> Scores:
        async def ask() -> Scores:
            async with AsyncClient(server.address, model=model) as client:
                return await client.score(images, **options)

        return asyncio.run(ask())

    return {"bundle": here, "client": there, "asyncio client": by_asyncio}[request.param]


def test_every_client_gives_the_scorers_numbers(score: Score) -> None:
    scores = score(IMAGES)
    expected = scores_of(IMAGES)
    assert len(scores) == 7
    assert (scores.model.name, scores.model.version) == ("tiny-classifier", 1)
    assert list(scores.all) == ["realness", *CLASSES]
    assert np.array_equal(np.stack(list(scores.all.values()), 1), expected)
    assert np.array_equal(scores.score, expected[:, 0])
    assert np.array_equal(scores.percentile, percentiles(expected[:, 0], scorer_card().scores[0].quantiles))
    assert scores.likeliest is not None
    assert scores.likeliest.tolist() == [CLASSES[place] for place in expected[:, 1:].argmax(1)]
    assert repr(scores).startswith(f"<scores of 7 images by tiny-classifier:1@{scores.model.digest[:12]}: ")


def test_the_number_of_its_own_class_counts_where_it_is_known(score: Score) -> None:
    classes = ["emu", "cat", "cat", "dog", "emu", "dog", "cat"]
    columns = [1 + CLASSES.index(name) for name in classes]
    scores = score(IMAGES, classes=classes)
    expected = scores_of(IMAGES)[np.arange(7), columns]
    assert np.array_equal(scores.score, expected)
    card = scorer_card()
    told = [percentiles(value, card.scores[column].quantiles) for value, column in zip(expected, columns, strict=True)]
    assert scores.percentile.tolist() == told
    by_label = score(IMAGES, classes=[CLASSES.index(name) for name in classes])
    assert np.array_equal(by_label.score, expected)


def test_a_scorer_may_know_neither_classes_nor_percentiles(score: Score) -> None:
    scores = score(IMAGES, "realness")
    assert np.array_equal(scores.score, scores_of(IMAGES, 1)[:, 0])
    assert np.isnan(scores.percentile).all()
    assert scores.likeliest is None
    with pytest.raises(InvalidRequestError, match="the scorer knows no class 'cat'; it knows none"):
        score(IMAGES, "realness", classes=["cat"] * 7)


def test_arrays_pil_images_and_files_are_taken_in_any_number(score: Score, tmp_path: Path) -> None:
    Image.fromarray(IMAGES[0]).save(tmp_path / "a.png")
    given = [tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(IMAGES[0]), IMAGES[0]]
    assert score(given).score.tolist() == [scores_of(IMAGES[:1])[0, 0]] * 4
    many = sample_textures(2, 0, 600, SHAPE)
    assert np.array_equal(score(image for image in many).score, scores_of(many)[:, 0])


def test_grey_and_colour_are_brought_to_the_scorers_channels(score: Score) -> None:
    grey = IMAGES[:3, ..., :1]
    for given in (list(grey), [image[..., 0] for image in grey], [Image.fromarray(image[..., 0]) for image in grey]):
        assert np.array_equal(score(given).score, scores_of(grey.repeat(3, axis=3))[:, 0])
    in_grey = [np.asarray(Image.fromarray(image).convert("L"))[..., None] for image in IMAGES]
    assert np.array_equal(score(IMAGES, "grey").score, scores_of(np.stack(in_grey))[:, 0])


@pytest.mark.parametrize(("model", "mode"), [("tiny-classifier", "stretch"), ("crop", "crop"), ("pad", "pad")])
def test_other_sizes_are_brought_to_the_scorers_as_its_training_images_were(
    score: Score, model: str, mode: ResizeMode
) -> None:
    others: list[Images] = [sample_textures(4, 0, 1, (*size, 3))[0] for size in ((12, 10), (40, 7), (3, 2), (6, 9))]
    resize = Resize(height=6, width=5, mode=mode)
    expected = np.stack([resize_array(image, resize) for image in others])
    assert np.array_equal(score(others, model).score, scores_of(expected)[:, 0])


@pytest.mark.parametrize(
    ("images", "options", "text", "field"),
    [
        ([], {}, "there are no images to score; give at least one", "images"),
        (IMAGES[0], {}, "give any number of images, and of one a list", "images"),
        ([*IMAGES, "nowhere.png"], {}, r"nowhere.png cannot be read", "images[7]"),
        ([*IMAGES, __file__], {}, "are not a readable image", "images[7]"),
        ([IMAGES[0].astype(float)], {}, "the image is float64", "images[0]"),
        (IMAGES, {"classes": ["cat"] * 6}, "there are classes of 6 images, and 7 images", "classes"),
        (IMAGES, {"classes": ["cow"] * 7}, "the scorer knows no class 'cow'; it knows cat, dog, emu", "classes"),
        (IMAGES, {"classes": [3] * 7}, "the scorer knows no class 3; it knows cat, dog, emu", "classes"),
        (IMAGES, {"classes": [-1] * 7}, "the scorer knows no class -1", "classes"),
        (IMAGES, {"classes": [None] * 7}, "the scorer knows no class None", "classes"),
        (IMAGES, {"classes": "cat"}, "classes are 'cat'; give one of each image, in a list", "classes"),
        (IMAGES, {"classes": ["realness"] * 7}, "the scorer knows no class 'realness'", "classes"),
        (IMAGES, {"model": "tiny"}, "this model is a generator; give the name of a scorer", "model"),
        (IMAGES, {"model": "blur2x"}, "this model is a translator; give the name of a scorer", "model"),
    ],
)
def test_what_cannot_be_scored_is_told(
    score: Score, images: Any, options: dict[str, Any], text: str, field: str
) -> None:
    with pytest.raises(InvalidRequestError, match=text) as caught:
        score(images, **options)
    assert caught.value.field == field


def test_a_client_for_another_model_shares_the_connections(server: ServerProcess) -> None:
    with Client(server.address, model="tiny") as client:
        scorer = client.for_model("tiny-classifier:1")
        assert scorer.get_model().name == "tiny-classifier"
        assert np.array_equal(scorer.score(IMAGES).score, client.score(IMAGES, model="tiny-classifier").score)
        assert client.get_model().name == "tiny"
        assert len(client.generate(3, seed=1)) == 3

    async def ask() -> tuple[str, str]:
        async with AsyncClient(server.address, model="tiny") as client:
            scorer = client.for_model("tiny-classifier")
            return (await scorer.get_model()).name, (await client.get_model()).name

    assert asyncio.run(ask()) == ("tiny-classifier", "tiny")


@pytest.fixture
def chosen(models: Path) -> Iterator[Samples]:
    """Samples that were chosen and transformed."""
    with LocalGenerator(models / "tiny" / "1") as source:
        yield source.generate(9, seed=7, best_of=3, then="blur2x")


def test_a_part_of_samples_and_parts_that_are_joined_keep_their_scores(chosen: Samples) -> None:
    parts = [chosen.between(0, 2), chosen.between(2, 7), chosen.between(7, 9)]
    assert [len(part.scores["own_class"]) for part in parts] == [2, 5, 2]
    joined = Samples.join(parts)
    assert joined.scores["own_class"].tolist() == chosen.scores["own_class"].tolist()
    assert joined.percentiles["own_class"].tolist() == chosen.percentiles["own_class"].tolist()
    assert (joined.best_of, joined.scorer, joined.then) == (chosen.best_of, chosen.scorer, chosen.then)
    assert repr(joined) == repr(chosen)
    assert repr(chosen).endswith(", the best of 3 each by tiny-classifier:1, then blur2x:1>")


def test_an_address_names_the_models_by_their_digests(models: Path, chosen: Samples, tmp_path: Path) -> None:
    assert chosen.scorer is not None
    chosen.save(tmp_path / "out")
    (path,) = (tmp_path / "out").rglob("7-000004.png")
    address = address_of(path)
    assert address.best_of == 3
    assert address.scorer == f"tiny-classifier:1@{chosen.scorer.digest}"
    assert address.then == [f"blur2x:1@{chosen.then[0].digest}"]
    assert Address.from_json(address.to_json()) == address
    with LocalGenerator(models / "tiny" / "1") as source:
        assert np.array_equal(address.generate(source).numpy()[0], chosen[4])
        plain = next(iter(Samples.join([source.generate(1, seed=1)]).numpy()))
        assert plain.shape == SHAPE
    wrong = json.loads(address.to_json()) | {"scorer": f"tiny-classifier:1@{'0' * 64}"}
    with LocalGenerator(models / "tiny" / "1") as source, pytest.raises(PreconditionError):
        Address.from_json(json.dumps(wrong)).generate(source)


def test_addresses_without_other_models_say_nothing_of_any() -> None:
    address = Address(model="tiny:1", digest="0" * 64, seed=1, index=2)
    assert set(json.loads(address.to_json())) == {"model", "digest", "seed", "index"}


@pytest.mark.parametrize("more", [{"best_of": "3"}, {"scorer": 3}, {"then": "blur2x"}, {"then": [1]}, {"then": None}])
def test_what_is_no_address_is_refused(more: dict[str, Any]) -> None:
    address = {"model": "tiny:1", "digest": "0" * 64, "seed": 1, "index": 2}
    with pytest.raises(ArtifactError, match="is no address of a sample"):
        Address.from_json(json.dumps(address | more))
