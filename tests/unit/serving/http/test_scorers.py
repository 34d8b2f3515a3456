"""A scorer over HTTP: it is told of, and makes no pictures."""

from __future__ import annotations

import pytest

from ganserve.v1.bundle_pb2 import Parity

from ....scorers import make_scorer
from .conftest import Play, Stage


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("samples/7/3.png", "this model takes images; give one a sample"),
        ("samples/7/0-8.webp", "this model takes images; give one a sample"),
        ("interpolations/7:0/8:5.png", "takes"),
    ],
)
def test_pictures_of_a_scorer_are_refused(play: Play, tiny_parity: Parity, path: str, text: str) -> None:
    async def story(stage: Stage) -> None:
        await stage.repository.open(make_scorer(stage.models, tiny_parity))
        reply = await stage.get(f"/v1/models/tiny-classifier/{path}")
        assert (reply.status, reply.headers["content-type"]) == (400, "application/problem+json")
        assert text in reply.json()["detail"]
        assert (await stage.get("/v1/models/tiny/samples/7/3.png")).status == 200

    play(story)


def test_a_scorer_is_told_of_by_its_numbers(play: Play, tiny_parity: Parity) -> None:
    async def story(stage: Stage) -> None:
        await stage.repository.open(make_scorer(stage.models, tiny_parity))
        models = (await stage.get("/v1/models")).json()["models"]
        (scorer,) = (model for model in models if model["identity"]["name"] == "tiny-classifier")
        assert scorer["card"]["kind"] == "MODEL_KIND_SCORER"
        assert [score["name"] for score in scorer["card"]["scores"]] == ["realness", "cat", "dog", "emu"]

    play(story)
