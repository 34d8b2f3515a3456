"""Tokens over HTTP."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from ganserve.serving.access import Access
from ganserve.serving.scheduler import Job, RowQueue
from ganserve.serving.scopes import Scope
from ganserve.serving.tokens import Grant, Quota, hash_token

from .conftest import Play, Stage

OPEN = {"/livez", "/readyz"}
SAMPLE = "/v1/models/tiny/samples/7/0.png"
FILLED = {"{model}": "tiny", "{seed}": "7", "{file}": "0.png", "{start}": "7:3", "{stop}": "8:1.png"}


@pytest.fixture
def access(tmp_path: Path) -> Access:
    """Knows a token for each scope, of the scope's name, and one that may have three samples a minute."""
    grants = [Grant(name=scope, sha256=hash_token(scope), scopes=frozenset({scope})) for scope in Scope]
    few = Quota(num_rows=3, period_s=60.0)
    grants.append(Grant(name="few", sha256=hash_token("few"), scopes=frozenset({Scope.GENERATE}), quota=few))
    (tmp_path / "tokens.toml").write_text("".join(f"{grant.line()}\n" for grant in grants))
    return Access(tmp_path / "tokens.toml")


def paths_of(stage: Stage) -> list[str]:
    """A path of every route, and one of none."""
    routes: Any = stage.gate._app
    paths = [route.path for route in routes.routes]
    assert {"/", "/metrics", "/v1/models"} <= set(paths)
    for part, value in FILLED.items():
        paths = [path.replace(part, value) for path in paths]
    return [*paths, "/nothing/here"]


def method_of(path: str) -> str:
    return "POST" if path.endswith(("/transform", "/score")) else "GET"


def test_whoever_has_no_token_reads_nothing_but_probes(play: Play, access: Access) -> None:
    async def story(stage: Stage) -> None:
        for path in paths_of(stage):
            for headers in ({}, {"authorization": "Bearer guessed"}, {"authorization": "Basic %%%"}):
                reply = await stage.get(path, method=method_of(path), **headers)
                assert (reply.status == 401) != (path in OPEN), path
                if reply.status == 401:
                    assert reply.headers["www-authenticate"].startswith("Bearer, Basic realm=")
                    assert reply.json()["code"] == "UNAUTHENTICATED"
                    assert "guessed" not in reply.body.decode()

    play(story, access=access)


def test_a_token_reads_what_its_scope_allows(play: Play, access: Access) -> None:
    async def story(stage: Stage) -> None:
        for path in paths_of(stage):
            assert (await stage.get(path, method=method_of(path), authorization="Bearer generate")).status not in (
                401,
                403,
            )
            reply = await stage.get(path, method=method_of(path), authorization="Bearer admin")
            assert (reply.status == 403) != (path in OPEN | {"/metrics"}), path

    play(story, access=access)


def test_a_browser_gives_the_token_as_a_password(play: Play, access: Access) -> None:
    async def story(stage: Stage) -> None:
        for pair, status in (("anybody:generate", 200), (":generate", 200), ("generate", 401), ("generate:no", 401)):
            basic = base64.b64encode(pair.encode()).decode()
            assert (await stage.get(SAMPLE, authorization=f"Basic {basic}")).status == status

    play(story, access=access)


def test_shared_caches_keep_nothing_of_what_needs_a_token(play: Play, access: Access) -> None:
    async def story(stage: Stage) -> None:
        for path in (SAMPLE, SAMPLE.replace("tiny", f"tiny@{stage.digest}")):
            reply = await stage.get(path, authorization="Bearer generate")
            assert reply.headers["cache-control"].startswith("private, ")
            reply = await stage.get(path, authorization="Bearer generate", if_none_match=reply.headers["etag"])
            assert reply.status == 304
            assert reply.headers["cache-control"].startswith("private, ")

    play(story, access=access)


def test_turns_and_quotas_are_those_of_the_token(play: Play, access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    clients: list[str] = []
    add = RowQueue.add

    def note(self: RowQueue, job: Job) -> None:
        clients.append(job.caller.client)
        add(self, job)

    monkeypatch.setattr(RowQueue, "add", note)

    async def story(stage: Stage) -> None:
        for status in (200, 200, 200, 429):
            reply = await stage.get(SAMPLE, authorization="Bearer few")
            assert reply.status == status
        assert 1 <= int(reply.headers["retry-after"]) <= 20
        assert "the token 'few' has had its 3 samples a minute" in reply.json()["detail"]
        assert (await stage.get(SAMPLE, authorization="Bearer generate")).status == 200

    play(story, access=access)
    assert clients == ["few", "few", "few", "generate"]
