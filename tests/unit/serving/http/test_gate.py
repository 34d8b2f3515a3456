"""What every request passes, whatever it asks for."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

import pytest
from starlette.types import Message, Receive, Scope, Send

from ganserve.serving.answers import Answers
from ganserve.serving.http.gate import HttpGate, when_sent
from ganserve.serving.metrics import Metrics

from .conftest import Play, Stage, until

SAMPLE = "/v1/models/tiny/samples/7/0.png"


def test_a_request_too_many_is_told_when_to_come_back_and_probes_go_on(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganserve.serving.dispatcher.Dispatcher.launch", lambda self: None)  # noqa: ARG005

    async def story(stage: Stage) -> None:
        waiting = asyncio.create_task(stage.get(SAMPLE, prefer="wait=2"))
        await until(lambda: stage.value("calls_in_progress", protocol="http"))
        refused = await stage.get(SAMPLE)
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        assert stage.value("refusals_total", limit="calls") == 1
        assert [(await stage.get(path)).status for path in ("/livez", "/readyz", "/metrics", "/")] == [200] * 4
        assert (await waiting).status == 504

    play(story, max_calls=1)


def test_a_closed_gate_sends_clients_elsewhere_and_waits_for_those_under_way(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = Answers.draw
    may_go: Future[None] = Future()

    async def draw_later(self: Answers, *arguments: object) -> bytes:
        await asyncio.wrap_future(may_go)
        return await draw(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Answers, "draw", draw_later)

    async def story(stage: Stage) -> None:
        under_way = asyncio.create_task(stage.get(SAMPLE))
        await until(lambda: stage.num_runs())
        stage.gate.close()
        refused = await stage.get(SAMPLE)
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert (await stage.get("/livez")).status == 200
        emptied = asyncio.create_task(stage.gate.emptied(timeout_s=60))
        await asyncio.sleep(0.05)
        assert not emptied.done()
        may_go.set_result(None)
        assert (await under_way).status == 200
        await emptied

    play(story)


def test_a_failure_that_nobody_foresaw_is_a_problem_without_a_trace(
    play: Play, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(Answers, "models", fail)

    async def story(stage: Stage) -> None:
        reply = await stage.get("/v1/models")
        assert (reply.status, reply.json()["code"]) == (500, "INTERNAL")
        assert b"secret" not in reply.body
        await until(lambda: stage.value("calls_total", code="INTERNAL", method="GET /v1/models", model="", version=""))

    play(story)
    assert "secret" in caplog.text


def test_a_reply_of_which_nothing_is_taken_ends() -> None:
    given_back: list[bool] = []
    taken: list[Message] = []

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        when_sent(scope)(lambda: given_back.append(True))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(1_000_000)})

    async def send(message: Message) -> None:
        taken.append(message)
        if len(taken) == 3:
            await asyncio.Event().wait()

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def story() -> None:
        metrics = Metrics()
        gate = HttpGate(answer, metrics, max_calls=1, stall_s=0.05)
        await gate({"type": "http", "method": "GET", "path": "/v1/x"}, receive, send)
        labels = {"method": "HTTP other", "code": "UNAVAILABLE", "model": "", "version": ""}
        assert metrics.registry.get_sample_value("ganserve_calls_total", labels) == 1
        await gate.emptied(timeout_s=60)

    asyncio.run(asyncio.wait_for(story(), 60))
    assert [message["type"] for message in taken] == ["http.response.start", *["http.response.body"] * 2]
    assert given_back == [True]


@pytest.mark.parametrize(
    "request_line",
    [
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET http://elsewhere/ HTTP/1.1\r\nHost: elsewhere\r\n\r\n",
        b"GET /%ff%fe%00 HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET /v1/models/%zz/samples/7/0.png HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET /v1/models/tiny/samples/7/0.png?%ff=%fe HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: here\r\nContent-Length: 1000000000\r\n\r\nabc",
        b"POST /v1/models HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    ],
)
def test_what_is_no_request_hurts_nobody(play: Play, request_line: bytes) -> None:
    async def story(stage: Stage) -> None:
        host, _, port = stage.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request_line)
        await reader.read(100)
        writer.close()
        assert (await stage.get(SAMPLE)).status == 200
        codes = {
            sample.labels["code"]
            for metric in stage.metrics.registry.collect()
            for sample in metric.samples
            if sample.name == "ganserve_calls_total"
        }
        assert "INTERNAL" not in codes

    play(story)


@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: here\r\n"])
@pytest.mark.parametrize("before", [b"", b"GET /livez HTTP/1.1\r\nHost: here\r\n\r\n"])
def test_who_does_not_finish_a_request_is_let_go(
    play: Play, monkeypatch: pytest.MonkeyPatch, before: bytes, begun: bytes
) -> None:
    monkeypatch.setattr("ganserve.serving.http.listener._HEAD_S", 0.1)
    monkeypatch.setattr("ganserve.serving.http.listener._IDLE_S", 1)

    async def story(stage: Stage) -> None:
        host, _, port = stage.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(before)
        if before:
            assert (await reader.readuntil(b"alive\n")).startswith(b"HTTP/1.1 200")
        for start in range(len(begun)):
            writer.write(begun[start : start + 1])
            await asyncio.sleep(0)
        assert await reader.read() == b""
        writer.close()

    play(story)
