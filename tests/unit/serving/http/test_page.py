"""The page's files. What it does in a browser is tried by `.ci/page_check.py`."""

from __future__ import annotations

import re

import pytest

from .conftest import Play, Stage

FILES = {"/": "text/html", "/page.css": "text/css", "/page.js": "text/javascript", "/icon.svg": "image/svg+xml"}


@pytest.mark.parametrize("path", FILES)
def test_a_file_of_the_page(play: Play, path: str) -> None:
    async def story(stage: Stage) -> None:
        reply = await stage.get(path)
        assert reply.status == 200
        assert reply.headers["content-type"].split(";")[0] == FILES[path]
        policy = reply.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert "*" not in policy
        again = await stage.get(path, if_none_match=reply.headers["etag"])
        assert (again.status, again.body) == (304, b"")

    play(story)


def test_the_page_takes_nothing_from_elsewhere_and_runs_nothing_inline(play: Play) -> None:
    async def story(stage: Stage) -> None:
        page = (await stage.get("/")).body.decode()
        assert not re.search(r"(?:src|href)=\"(?:\w+:|/)", page)
        assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*src=)", page)
        used = set(re.findall(r"(?:src|href)=\"([^\"]+)\"", page))
        assert used == {path.removeprefix("/") for path in FILES} - {""}
        script = (await stage.get("/page.js")).body.decode()
        assert "http:" not in script
        assert "https:" not in script
        assert "innerHTML" not in script

    play(story)
