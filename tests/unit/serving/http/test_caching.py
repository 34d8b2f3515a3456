"""What caches are told, and that nothing is made for who has the picture."""

from __future__ import annotations

import re

import pytest

from .conftest import Play, Stage

FOR_EVER = "public, max-age=31536000, immutable"
FOR_A_MOMENT = "public, max-age=10, must-revalidate"


def test_only_a_url_with_the_digest_means_the_same_for_ever(play: Play) -> None:
    async def story(stage: Stage) -> None:
        tags = set()
        for model, cached in (
            ("tiny", FOR_A_MOMENT),
            ("tiny:1", FOR_A_MOMENT),
            (f"tiny@{stage.digest}", FOR_EVER),
            (f"tiny:1@{stage.digest}", FOR_EVER),
        ):
            reply = await stage.get(f"/v1/models/{model}/samples/7/0.png?class=cat")
            assert reply.headers["cache-control"] == cached
            assert reply.headers["content-location"] == f"../../../tiny@{stage.digest}/samples/7/0.png?class=cat"
            tags.add(reply.headers["etag"])
        assert len(tags) == 1
        assert re.fullmatch('"[0-9a-f]{32}"', tags.pop())

    play(story)


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
@pytest.mark.parametrize(
    "path", ["samples/7/0.png", "samples/7/0-9.webp?class=cat", "interpolations/7:3/8:12.png?class=cat"]
)
def test_who_has_the_picture_is_told_so_and_nothing_is_made(play: Play, path: str, form: str) -> None:
    async def story(stage: Stage) -> None:
        first = await stage.get(f"/v1/models/tiny/{path}")
        num_runs = stage.num_runs()
        again = await stage.get(f"/v1/models/tiny/{path}", if_none_match=form.format(first.headers["etag"]))
        assert (again.status, again.body) == (304, b"")
        for name in ("etag", "cache-control", "content-location"):
            assert again.headers[name] == first.headers[name]
        assert "content-length" not in again.headers
        assert stage.num_runs() == num_runs

    play(story)


def test_another_address_or_form_has_another_tag(play: Play) -> None:
    paths = [
        "samples/7/0.png",
        "samples/7/0-0.png",
        "samples/7/1.png",
        "samples/8/0.png",
        "samples/7/0.webp",
        "samples/7/0.webp?quality=50",
        "samples/7/0.png?class=cat",
        "samples/7/0.png?class=dog",
        "samples/7/0.png?truncation=1.5",
        "samples/7/0.png?spread=1.5",
        "samples/7/0-3.png",
        "samples/7/0-3.png?columns=4",
        "interpolations/7:3/8:12.png?class=cat",
        "interpolations/7:3/8:12.png?class=cat&steps=8",
    ]

    async def story(stage: Stage) -> None:
        tags = [(await stage.get(f"/v1/models/tiny/{path}", method="HEAD")).headers["etag"] for path in paths]
        assert len(set(tags)) == len(paths)
        same = await stage.get("/v1/models/tiny/samples/007/0?truncation=1.50&format=png", method="HEAD")
        assert same.headers["etag"] == tags[paths.index("samples/7/0.png?truncation=1.5")]

    play(story)


def test_head_tells_of_a_picture_without_making_it(play: Play) -> None:
    async def story(stage: Stage) -> None:
        head = await stage.get("/v1/models/tiny/samples/7/0.png", method="HEAD")
        assert (head.status, head.body, head.headers["content-type"]) == (200, b"", "image/png")
        assert stage.num_runs() == 0
        whole = await stage.get("/v1/models/tiny/samples/7/0.png")
        assert head.headers["etag"] == whole.headers["etag"]
        assert (await stage.get("/v1/models/tiny/samples/7/0.png?class=cow", method="HEAD")).status == 400

    play(story)
