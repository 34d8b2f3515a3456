"""Images that are sent over HTTP, transformed or scored."""

from __future__ import annotations

import http.client
import io
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from PIL import Image

from ganserve.client import LocalGenerator
from ganserve.contract.images import Images
from ganserve.contract.textures import sample_textures
from ganserve.v1.bundle_pb2 import Parity

from ....scorers import make_scorer
from ....translators import SCALE, make_translator
from .conftest import Play, Stage, until

SIZE = (31, 45, 3)


def image_file(image: Images, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, form)
    return buffer.getvalue()


def pixels(data: bytes) -> Images:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture)


PlayStory = Callable[[Callable[[Stage], Awaitable[None]]], None]

TEXTURE = sample_textures(3, 0, 1, SIZE)[0]
FILE = image_file(TEXTURE)


@pytest.fixture
def with_models(play: Play, tiny_parity: Parity) -> PlayStory:
    """Plays a story with a translator and a scorer beside the generator."""

    def played(story: Callable[[Stage], Awaitable[None]]) -> None:
        async def prepared(stage: Stage) -> None:
            for folder in (make_translator(stage.models, tiny_parity), make_scorer(stage.models, tiny_parity)):
                await stage.repository.open(folder)
            await story(stage)

        play(prepared)

    return played


def test_an_image_of_any_size_comes_back_as_a_client_transforms_it(
    with_models: PlayStory,
) -> None:
    async def story(stage: Stage) -> None:
        reply = await stage.post("/v1/models/blur2x/transform", FILE)
        assert (reply.status, reply.headers["content-type"]) == (200, "image/png")
        assert reply.headers["cache-control"] == "no-store"
        with LocalGenerator(stage.models / "blur2x" / "1") as here:
            (expected,) = here.transform([TEXTURE])
            assert reply.headers["ganserve-digest"] == here.get_model().digest
        assert expected.shape == (SCALE * SIZE[0], SCALE * SIZE[1], 3)
        np.testing.assert_array_equal(pixels(reply.body), expected)

    with_models(story)


def test_the_reply_has_the_form_of_what_was_sent_or_the_one_asked_for(
    with_models: PlayStory,
) -> None:
    async def story(stage: Stage) -> None:
        for sent, asked, given in (
            ("JPEG", "", "image/jpeg"),
            ("WEBP", "", "image/webp"),
            ("JPEG", "?format=png", "image/png"),
            ("PNG", "?format=jpeg&quality=50", "image/jpeg"),
        ):
            reply = await stage.post(f"/v1/models/blur2x/transform{asked}", image_file(TEXTURE, sent))
            assert (reply.status, reply.headers["content-type"]) == (200, given)

    with_models(story)


def test_an_image_is_scored_as_a_client_scores_it(
    with_models: PlayStory,
) -> None:
    async def story(stage: Stage) -> None:
        reply = await stage.post("/v1/models/tiny-classifier/score", FILE)
        assert reply.status == 200
        told = reply.json()
        with LocalGenerator(stage.models / "tiny-classifier" / "1") as here:
            expected = here.score([TEXTURE])
        assert told["model"] == {"name": "tiny-classifier", "version": 1, "digest": expected.model.digest}
        assert {entry["name"]: entry["score"] for entry in told["scores"]} == {
            name: values[0] for name, values in expected.all.items()
        }
        assert told["scores"][0]["percentile"] == expected.percentile[0]

    with_models(story)


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("blur2x/transform", b"", 400, "has no body; send one PNG, JPEG or WebP file"),
        ("blur2x/transform", b"GIF89a", 400, "not a readable image"),
        ("blur2x/transform?size=3", FILE, 400, "there is no parameter 'size'; use format"),
        ("blur2x/transform?format=gif", FILE, 400, "format is 'gif'; use png, jpeg, webp"),
        ("blur2x/transform?class=1", FILE, 400, "there is no parameter 'class'"),
        ("blur2x/score", FILE, 400, "this model is a translator; give the name of a scorer"),
        ("tiny/transform", FILE, 400, "this model is a generator; give the name of a translator"),
        ("tiny/score", FILE, 400, "this model is a generator; give the name of a scorer"),
        ("tiny-classifier/transform", FILE, 400, "this model is a scorer; give the name of a translator"),
        ("tiny-classifier/score?x=1", FILE, 400, "there is no parameter 'x'; leave it out"),
        ("nothing/transform", FILE, 404, "there is no model 'nothing'"),
    ],
)
def test_what_cannot_be_answered_is_told(
    with_models: PlayStory, path: str, body: bytes, status: int, text: str
) -> None:
    async def story(stage: Stage) -> None:
        reply = await stage.post(f"/v1/models/{path}", body)
        assert reply.status == status
        assert text in reply.json()["detail"]

    with_models(story)


def test_a_bomb_is_refused_by_its_header(
    with_models: PlayStory,
) -> None:
    async def story(stage: Stage) -> None:
        bomb = image_file(np.zeros((5000, 5000), np.uint8))
        reply = await stage.post("/v1/models/blur2x/transform", bomb)
        assert (reply.status, "the image is 5000×5000, more than" in reply.json()["detail"]) == (400, True)

    with_models(story)


def test_a_body_that_is_too_large_is_refused_and_the_server_goes_on(
    with_models: PlayStory,
) -> None:
    async def story(stage: Stage) -> None:
        try:
            reply = await stage.post("/v1/models/blur2x/transform", bytes(9 * 2**20))
        except (ConnectionError, http.client.HTTPException):
            pass  # the server closed the connection while the rest was sent
        else:
            assert "larger than the 8,388,608 bytes" in reply.json()["detail"]
        assert (await stage.post("/v1/models/blur2x/transform", FILE)).status == 200

    with_models(story)


def test_methods_are_told_apart_by_path(
    with_models: PlayStory,
) -> None:
    async def story(stage: Stage) -> None:
        for method, path, allowed in (
            ("GET", "/v1/models/blur2x/transform", "POST"),
            ("POST", "/v1/models/blur2x", "GET, HEAD"),
            ("POST", "/transform", "GET, HEAD"),
            ("DELETE", "/v1/models/blur2x/score", "POST"),
        ):
            reply = await stage.get(path, method=method)
            assert (reply.status, reply.headers["allow"]) == (405, allowed)

    with_models(story)


def test_calls_are_counted_by_their_route(
    with_models: PlayStory,
) -> None:
    async def story(stage: Stage) -> None:
        await stage.post("/v1/models/blur2x/transform", FILE)
        labels = {"model": "blur2x", "version": "1", "method": "POST /v1/models/{model}/transform", "code": "OK"}
        await until(lambda: stage.value("calls_total", **labels))

    with_models(story)


def test_samples_of_a_scorer_are_no_picture(
    with_models: PlayStory,
) -> None:
    async def story(stage: Stage) -> None:
        reply = await stage.get("/v1/models/tiny-classifier/samples/7/0.png")
        assert reply.status == 400
        assert "this model takes images" in reply.json()["detail"]

    with_models(story)
