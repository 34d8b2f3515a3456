"""Pictures by URL: what they show, and what is said of URLs that show nothing."""

from __future__ import annotations

import asyncio
import io
import random
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urljoin

import numpy as np
import pytest
from PIL import Image
from starlette.types import Message

from ganserve.contract.images import Images, cut_grid
from ganserve.contract.interpolation import latents_between
from ganserve.contract.tensors import pack_latents
from ganserve.serving.scheduler import Caller, Job, Priority, RowQueue
from ganserve.v1.generator_pb2 import ClassReference, LabelPolicy, ModelSelector, SampleAddress, SampleQuery
from ganserve.v1.model_pb2 import ImageShape, ModelCard

from .conftest import Play, Stage, until

CAT = LabelPolicy(one=ClassReference(name="cat"))


def pixels(data: bytes) -> Images:
    with Image.open(io.BytesIO(data)) as picture:
        array = np.asarray(picture)
    return array if array.ndim == 3 else array[..., None]


async def made(stage: Stage, labels: LabelPolicy | None = None, **source: Any) -> Images:
    """What the same query gives without HTTP: uint8 (N, 6, 5, 3)."""
    if "latents" not in source:
        source = {"address": SampleAddress(**{"seed": 7, "count": 1, **source})}
    query = SampleQuery(model=ModelSelector(name="tiny"), labels=labels, **source)
    answer = await stage.answers.samples(query, Caller(client="a"), lambda act: act())
    assert answer.images is not None
    return answer.images


def test_a_url_shows_the_sample_of_its_address(play: Play) -> None:
    async def story(stage: Stage) -> None:
        reply = await stage.get("/v1/models/tiny/samples/7/3.png")
        assert (reply.status, reply.headers["content-type"]) == (200, "image/png")
        (sample,) = await made(stage, first_index=3)
        np.testing.assert_array_equal(pixels(reply.body), sample)
        assert reply.headers["x-content-type-options"] == "nosniff"
        last = await stage.get(f"/v1/models/tiny/samples/{2**64 - 1}/{2**64 - 1}.png")
        (sample,) = await made(stage, seed=2**64 - 1, first_index=2**64 - 1)
        np.testing.assert_array_equal(pixels(last.body), sample)

    play(story)


@pytest.mark.parametrize(
    ("query", "labels", "options"),
    [
        ("class=dog", LabelPolicy(one=ClassReference(label=1)), {}),
        ("class=1", LabelPolicy(one=ClassReference(label=1)), {}),
        ("class=balanced", None, {}),
        ("truncation=0.5", None, {"truncation": 0.5}),
        ("truncation=.5&spread=2e0", None, {"truncation": 0.5, "spread": 2.0}),
        ("class=cat&truncation=1.25", CAT, {"truncation": 1.25}),
    ],
)
def test_parameters_are_those_of_the_address(
    play: Play, query: str, labels: LabelPolicy | None, options: dict[str, float]
) -> None:
    async def story(stage: Stage) -> None:
        reply = await stage.get(f"/v1/models/tiny/samples/7/3.png?{query}")
        assert reply.status == 200
        (sample,) = await made(stage, labels, first_index=3, **options)
        np.testing.assert_array_equal(pixels(reply.body), sample)

    play(story)


def test_a_number_is_a_label_unless_a_class_has_that_very_name(play: Play, tiny_card: ModelCard) -> None:
    card = ModelCard()
    card.CopyFrom(tiny_card)
    card.class_names[:] = ["1", "2", "ü&="]

    async def story(stage: Stage) -> None:
        for text, label in (("1", "0"), ("2", "1"), ("0", "0"), ("%C3%BC%26%3D", "2")):
            reply = await stage.get(f"/v1/models/tiny/samples/7/3.png?class={text}")
            assert (reply.status, reply.headers["ganserve-label"]) == (200, label)
            lasting = urljoin("/v1/models/tiny/samples/7/3.png", reply.headers["content-location"])
            again = await stage.get(lasting)
            assert (again.status, again.body) == (200, reply.body)

    play(story, card=card)


def test_a_range_is_a_grid(play: Play) -> None:
    async def story(stage: Stage) -> None:
        reply = await stage.get("/v1/models/tiny/samples/7/10-29.png?class=emu")
        samples = await made(stage, LabelPolicy(one=ClassReference(name="emu")), first_index=10, count=20)
        np.testing.assert_array_equal(cut_grid(pixels(reply.body), 20, 6, 5), samples)
        assert pixels(reply.body).shape == (4 * 8 - 2, 5 * 7 - 2, 3)
        row = await stage.get("/v1/models/tiny/samples/7/10-29.png?class=emu&columns=20")
        assert pixels(row.body).shape == (6, 20 * 7 - 2, 3)
        tight = await stage.get("/v1/models/tiny/samples/7/10-29.png?class=emu&gap=0&columns=10")
        np.testing.assert_array_equal(cut_grid(pixels(tight.body), 20, 6, 5, gap=0), samples)
        one = await stage.get("/v1/models/tiny/samples/7/10-10.png?class=emu")
        np.testing.assert_array_equal(pixels(one.body), samples[0])

    play(story)


@pytest.mark.parametrize(
    ("end", "media_type", "form"),
    [
        (".png", "image/png", "PNG"),
        (".jpg", "image/jpeg", "JPEG"),
        (".jpeg?quality=10", "image/jpeg", "JPEG"),
        (".webp", "image/webp", "WEBP"),
        ("", "image/png", "PNG"),
        ("?format=webp&quality=50", "image/webp", "WEBP"),
        (".jpg?format=jpeg", "image/jpeg", "JPEG"),
    ],
)
def test_the_format_is_what_the_path_ends_in_or_the_parameter(play: Play, end: str, media_type: str, form: str) -> None:
    async def story(stage: Stage) -> None:
        reply = await stage.get(f"/v1/models/tiny/samples/7/3{end}")
        assert (reply.status, reply.headers["content-type"]) == (200, media_type)
        with Image.open(io.BytesIO(reply.body)) as picture:
            assert picture.format == form

    play(story)


def test_an_interpolation_is_a_row_of_samples(play: Play) -> None:
    async def story(stage: Stage) -> None:
        url = "/v1/models/tiny/interpolations/7:3/8:12.png?class=cat&steps=5&truncation=1.5"
        reply = await stage.get(url)
        assert reply.status == 200
        latents = latents_between((7, 3), (8, 12), 5, 7, 1.5, None)
        samples = await made(stage, CAT, latents=pack_latents(latents))
        np.testing.assert_array_equal(cut_grid(pixels(reply.body), 5, 6, 5), samples)
        assert pixels(reply.body).shape == (6, 5 * 7 - 2, 3)
        ends = await made(stage, CAT, first_index=3, truncation=1.5)
        np.testing.assert_array_equal(samples[0], ends[0])
        unasked = await stage.get("/v1/models/tiny/interpolations/7:3/8:12.png?class=cat")
        assert pixels(unasked.body).shape == (6, 9 * 7 - 2, 3)

    play(story)


def test_a_generator_without_classes(play: Play, tiny_card: ModelCard) -> None:
    card = ModelCard()
    card.CopyFrom(tiny_card)
    del card.class_names[:]
    card.image.CopyFrom(ImageShape(height=4, width=4, channels=1))

    async def story(stage: Stage) -> None:
        reply = await stage.get("/v1/models/tiny/samples/7/0-3.png")
        assert pixels(reply.body).shape == (10, 10, 1)
        assert "ganserve-label" not in (await stage.get("/v1/models/tiny/samples/7/0.png")).headers
        strip = await stage.get("/v1/models/tiny/interpolations/7:0/7:1.png?steps=2")
        assert pixels(strip.body).shape == (4, 10, 1)
        refused = await stage.get("/v1/models/tiny/samples/7/0.png?class=0")
        assert (refused.status, refused.json()["field"]) == (400, "class")

    play(story, card=card)


@pytest.mark.parametrize(
    ("path", "status", "code", "field", "text"),
    [
        ("nowhere", 404, "NOT_FOUND", None, "there is nothing at '/nowhere'"),
        ("v1/models/", 404, "NOT_FOUND", None, "nothing at"),
        ("v1/models/huge", 404, "NOT_FOUND", None, "there is no model 'huge'; this server has 'tiny'"),
        ("v1/models/huge/samples/7/0.png", 404, "NOT_FOUND", None, "there is no model 'huge'"),
        ("v1/models/tiny:9/samples/7/0.png", 404, "NOT_FOUND", None, "has no version 9"),
        ("v1/models/tiny:99999999999/samples/7/0.png", 404, "NOT_FOUND", None, "there is no model"),
        (f"v1/models/tiny@{'0' * 64}/samples/7/0.png", 404, "FAILED_PRECONDITION", "model", "the digest 0000"),
        ("v1/models/tiny@0000/samples/7/0.png", 404, "NOT_FOUND", None, "name@digest with all 64 digits"),
        ("v1/models/..%2Ftiny/samples/7/0.png", 404, "NOT_FOUND", None, "nothing at"),
        ("v1/models/tiny/samples/7/cat.png", 404, "NOT_FOUND", None, "'cat.png' is no picture"),
        ("v1/models/tiny/samples/7/0.gif", 404, "NOT_FOUND", None, "'.gif'"),
        ("v1/models/tiny/samples/7/1-2-3.png", 404, "NOT_FOUND", None, "'1-2-3' names no samples"),
        ("v1/models/tiny/samples/x/0.png", 400, "INVALID_ARGUMENT", "seed", "seed is 'x'"),
        (
            f"v1/models/tiny/samples/{2**64}/0.png",
            400,
            "INVALID_ARGUMENT",
            "seed",
            "whole number, 0 to 18446744073709551615",
        ),
        (f"v1/models/tiny/samples/7/{2**64}.png", 400, "INVALID_ARGUMENT", "index", "index is"),
        ("v1/models/tiny/samples/7/9-3.png", 400, "INVALID_ARGUMENT", "index", "ends before it begins"),
        ("v1/models/tiny/samples/7/0-999999.png", 400, "INVALID_ARGUMENT", "index", "one reply cannot hold"),
        (f"v1/models/tiny/samples/7/0-{2**64 - 1}.png", 400, "INVALID_ARGUMENT", "index", "one reply cannot hold"),
        ("v1/models/tiny/samples/7/0.png?class=cow", 400, "INVALID_ARGUMENT", "class", "there is no class 'cow'"),
        ("v1/models/tiny/samples/7/0.png?class=3", 400, "INVALID_ARGUMENT", "class", "label 3 is not one of 0 to 2"),
        ("v1/models/tiny/samples/7/0.png?class=", 400, "INVALID_ARGUMENT", "class", "class ''"),
        ("v1/models/tiny/samples/7/0.png?truncation=0", 400, "INVALID_ARGUMENT", "truncation", "truncation is 0"),
        ("v1/models/tiny/samples/7/0.png?truncation=nan", 400, "INVALID_ARGUMENT", "truncation", "'nan'"),
        ("v1/models/tiny/samples/7/0.png?truncation=1e999", 400, "INVALID_ARGUMENT", "truncation", "truncation is inf"),
        ("v1/models/tiny/samples/7/0.png?spread=1e30", 400, "INVALID_ARGUMENT", "spread", "spread is 1e+30"),
        ("v1/models/tiny/samples/7/0.png?quality=50", 400, "INVALID_ARGUMENT", "quality", "does not go with png"),
        ("v1/models/tiny/samples/7/0.jpg?quality=101", 400, "INVALID_ARGUMENT", "quality", "1 to 100"),
        ("v1/models/tiny/samples/7/0.png?format=gif", 400, "INVALID_ARGUMENT", "format", "use png, jpeg, webp"),
        ("v1/models/tiny/samples/7/0.png?format=jpeg", 400, "INVALID_ARGUMENT", "format", "give one of them"),
        ("v1/models/tiny/samples/7/0-3.png?columns=5", 400, "INVALID_ARGUMENT", "columns", "1 to 4"),
        ("v1/models/tiny/samples/7/0.png?trunctation=1", 400, "INVALID_ARGUMENT", "trunctation", "use class,"),
        ("v1/models/tiny/samples/7/0.png?class=0&class=1", 400, "INVALID_ARGUMENT", "class", "given 2 times"),
        ("v1/models/tiny/interpolations/7:3/8.png?class=0", 404, "NOT_FOUND", None, "'8' is no address"),
        ("v1/models/tiny/interpolations/7:3/8:1.png", 400, "INVALID_ARGUMENT", "class", "'cat', 'dog', 'emu'"),
        ("v1/models/tiny/interpolations/7:3/8:1.png?class=balanced", 400, "INVALID_ARGUMENT", "class", "of one class"),
        ("v1/models/tiny/interpolations/7:3/8:1.png?class=0&steps=1", 400, "INVALID_ARGUMENT", "steps", "2 to 32"),
        (
            "v1/models/tiny/interpolations/7:3/8:1.png?class=0&truncation=0",
            400,
            "INVALID_ARGUMENT",
            "truncation",
            "is 0",
        ),
    ],
)
def test_what_shows_nothing_is_a_problem_that_says_why(
    play: Play, path: str, status: int, code: str, field: str | None, text: str
) -> None:
    async def story(stage: Stage) -> None:
        for headers in ({}, {"if_none_match": "*"}):
            reply = await stage.get(f"/{path}", **headers)
            assert (reply.status, reply.headers["content-type"]) == (status, "application/problem+json")
            assert reply.headers["cache-control"] == "no-store"
            problem = reply.json()
            assert (problem["status"], problem["code"], problem.get("field")) == (status, code, field)
            assert text in problem["detail"]
        assert stage.num_runs() == 0

    play(story)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_there_is_nothing_but_get(play: Play, method: str) -> None:
    async def story(stage: Stage) -> None:
        reply = await stage.get("/v1/models/tiny/samples/7/0.png", method=method)
        assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")
        assert reply.json()["code"] == "UNIMPLEMENTED"

    play(story)


def test_too_much_is_429_with_a_time_to_come_back(play: Play) -> None:
    async def story(stage: Stage) -> None:
        with stage.batcher.admitted(95, Caller(client="another")):
            reply = await stage.get("/v1/models/tiny/samples/7/0-9.png")
        assert (reply.status, reply.json()["code"]) == (429, "RESOURCE_EXHAUSTED")
        assert int(reply.headers["retry-after"]) >= 1
        assert "would exceed the 100 that this server queues" in reply.json()["detail"]
        assert (await stage.get("/v1/models/tiny/samples/7/0-9.png")).status == 200

    play(story, max_queued_rows=100)


def test_the_budget_of_replies_holds_and_is_given_back(play: Play) -> None:
    async def story(stage: Stage) -> None:
        for _ in range(3):
            assert (await stage.get("/v1/models/tiny/samples/7/0-9.png")).status == 200
            await until(lambda: stage.value("reply_bytes_promised") == 0)
        with stage.answers._budget.holding(0):
            stage.answers._budget.take(900)
            assert (await stage.get("/v1/models/tiny/samples/7/0-9.png")).status == 429
            stage.answers._budget.give_back(900)

    play(story, max_reply_bytes=1000)


def held_up(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Has rows wait for ever; gives the jobs that came."""
    jobs: list[Job] = []
    add = RowQueue.add

    def note(self: RowQueue, job: Job) -> None:
        jobs.append(job)
        add(self, job)

    monkeypatch.setattr(RowQueue, "add", note)
    monkeypatch.setattr("ganserve.serving.dispatcher.Dispatcher.launch", lambda self: None)  # noqa: ARG005
    return jobs


def test_a_client_that_gives_a_time_gets_504_when_it_is_over(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    held_up(monkeypatch)

    async def story(stage: Stage) -> None:
        reply = await stage.get("/v1/models/tiny/samples/7/0.png", prefer="respond-async, wait=0.2")
        assert (reply.status, reply.json()["code"]) == (504, "DEADLINE_EXCEEDED")
        assert stage.value("dropped_rows_total", model="tiny", version="1", reason="expired") == 1

    play(story)


def test_a_client_that_leaves_takes_its_rows_along(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    held_up(monkeypatch)

    async def story(stage: Stage) -> None:
        host, _, port = stage.address.rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /v1/models/tiny/samples/7/0-4.png HTTP/1.1\r\nHost: here\r\n\r\n")
        await until(lambda: stage.batcher.num_queued_rows == 5)
        writer.close()
        await until(lambda: stage.batcher.num_queued_rows == 0)
        assert stage.value("dropped_rows_total", model="tiny", version="1", reason="cancelled") == 5
        method = "GET /v1/models/{model}/samples/{seed}/{file}"
        await until(lambda: stage.value("calls_total", method=method, code="CANCELLED", model="tiny", version="1"))
        assert stage.value("reply_bytes_promised") == 0

    play(story)


@pytest.mark.parametrize(
    ("header", "priority"),
    [("u=7", Priority.BULK), ("i, u=7", Priority.BULK), ("u=5, i", Priority.INTERACTIVE), ("", Priority.INTERACTIVE)],
)
def test_what_nobody_waits_for_is_bulk(
    play: Play, monkeypatch: pytest.MonkeyPatch, header: str, priority: Priority
) -> None:
    jobs = held_up(monkeypatch)

    async def story(stage: Stage) -> None:
        await stage.get("/v1/models/tiny/samples/7/0.png", priority=header, prefer="wait=0.1")
        assert [job.caller.priority for job in jobs] == [priority]

    play(story)


def test_samples_are_counted_by_the_route(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.get("/v1/models/tiny/samples/7/0-9.png")
        await stage.get("/v1/models/tiny/samples/7/0.png?class=cow")
        await stage.get("/x")
        method = "GET /v1/models/{model}/samples/{seed}/{file}"
        of_model = {"model": "tiny", "version": "1", "method": method}
        unmatched = {"model": "", "version": "", "method": "HTTP other"}
        await until(lambda: stage.value("calls_total", code="NOT_FOUND", **unmatched))
        await until(lambda: stage.value("calls_total", code="OK", **of_model))
        assert stage.value("calls_total", code="INVALID_ARGUMENT", **of_model) == 1
        assert stage.value("rows_total", code="OK", **of_model) == 10
        assert (stage.value("reply_bytes_total", method=method) or 0) > 100

    play(story)


def test_a_hot_swap_shows_under_the_name_at_once(play: Play, make_bundle: Callable[..., Any]) -> None:
    async def story(stage: Stage) -> None:
        before = await stage.get("/v1/models/tiny/samples/7/0.png")
        await stage.repository.open(make_bundle(stage.models, "tiny", 2))
        after = await stage.get("/v1/models/tiny/samples/7/0.png", if_none_match=before.headers["etag"])
        assert after.status == 200
        assert after.body != before.body
        lasting = urljoin("/v1/models/tiny/samples/7/0.png", before.headers["content-location"])
        assert re.fullmatch(r"/v1/models/tiny@[0-9a-f]{64}/samples/7/0\.png", lasting)
        assert (await stage.get(lasting)).body == before.body

    play(story)


def test_an_alias_names_the_version_that_it_points_to(play: Play, make_bundle: Callable[..., Any]) -> None:
    async def story(stage: Stage) -> None:
        await stage.repository.open(make_bundle(stage.models, version=2))
        stage.repository.aliases = {"tiny": {"stable": 1, "canary": 2}}
        for name, version in (("tiny", 1), ("tiny:stable", 1), ("tiny:canary", 2)):
            told = (await stage.get(f"/v1/models/{name}")).json()
            assert told["identity"]["version"] == version
            named, pinned = [
                await stage.get(f"/v1/models/{model}/samples/7/3.png")
                for model in (name, f"tiny@{told['identity']['digest']}")
            ]
            assert named.body == pinned.body
        reply = await stage.get("/v1/models/tiny:beta/samples/7/3.png")
        assert (reply.status, reply.json()["detail"]) == (
            404,
            "'tiny' has no alias 'beta' on this server; it has 'canary', 'stable'",
        )

    play(story)


PIECES = ("v1", "models", "tiny", "tiny:1", "samples", "interpolations", "7", "0", "0.png", "0-9.webp", "7:3", "8:1")
ODD = ("", "..", "%", "é", "\x00", "-", "-1", "9" * 40, "0-", "１.png", "a" * 500, "0.png.png", "tiny@", ":", "1:2:3")
NAMES = ("class", "truncation", "spread", "format", "quality", "columns", "gap", "steps", "x")
VALUES = ("0", "1", "cat", "1.5", "-1", "nan", "1e400", "1_0", "png", "jpeg", "", "9" * 30, "\x00", "é&", "１")


@pytest.mark.parametrize("seed", range(4))
def test_no_url_is_the_servers_fault(play: Play, seed: int) -> None:
    """1,000 URLs, mostly nearly right, past the socket: none is answered with a status of 500 or above."""
    chance = random.Random(seed)  # noqa: S311

    def path() -> str:
        kind = chance.choice(("samples/7/0.png", "samples/7/0-9.jpg", "interpolations/7:3/8:1.png"))
        pieces = ["v1", "models", "tiny", *kind.split("/")]
        for _ in range(chance.randrange(3)):
            pieces[chance.randrange(len(pieces))] = chance.choice(PIECES + ODD)
        return "/" + "/".join(pieces)

    def query() -> bytes:
        given = [(chance.choice(NAMES), chance.choice(VALUES)) for _ in range(chance.randrange(4))]
        return urlencode(given).encode()

    async def story(stage: Stage) -> None:
        for _ in range(250):
            statuses: list[int] = []

            async def send(message: Message, statuses: list[int] = statuses) -> None:
                if message["type"] == "http.response.start":
                    statuses.append(message["status"])

            async def receive() -> Message:
                await asyncio.Event().wait()
                raise AssertionError

            headers = [(b"if-none-match", b"*")] if chance.random() < 0.2 else []
            headers += [(b"prefer", b"wait=\xff9"), (b"priority", b"u=9, u=7")] if chance.random() < 0.2 else []
            scope = {"type": "http", "method": "GET", "path": path(), "query_string": query(), "headers": headers}
            await stage.gate(scope, receive, send)
            assert len(statuses) == 1
            assert statuses[0] < 500, scope

    play(story)
