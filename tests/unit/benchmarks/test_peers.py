"""The comparison with servers of other makers, tried with the one that needs no packages of its own."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from peer_loads.answers import Answer, WrongAnswerError
from peer_loads.comparison import CallersLoad
from peer_loads.contest import Contest, compare
from peer_loads.environments import python_of
from peer_loads.errors import PeerError
from peer_loads.forms import FORMS, MODEL, KServe, Rows
from peer_loads.load import Load, call
from peer_loads.processes import running
from servers import export_untrained

SHAPE = (8, 8, 1)
ROWS = Rows(first_index=3, count=2, dim=5)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    export_untrained(folder, MODEL, SHAPE, width=2)
    return folder


@pytest.fixture
def contest(models: Path, tmp_path: Path) -> Contest:
    loads = (CallersLoad(4, 1), CallersLoad(1, 2))
    return Contest(models=models, build=tmp_path, peers=["threads"], num_rounds=2, turn_s=0.3, loads=loads)


def load_of(port: int, form: str, image_bytes: int = 64) -> Load:
    return Load(
        form=form,
        port=port,
        num_callers=2,
        num_images=2,
        latent_dim=5,
        image_bytes=image_bytes,
        seconds=0.1,
        warm_up_s=0.0,
    )


@contextmanager
def grpc_server(generate: Callable[[bytes, grpc.ServicerContext], bytes]) -> Iterator[int]:
    """A server that speaks as `threads` does; gives its port."""
    server = grpc.server(ThreadPoolExecutor(4))
    handlers: dict[str, Any] = {"Generate": grpc.unary_unary_rpc_method_handler(generate)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("Images", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


def over_http(reply: bytes, load: Callable[[int], Load], *, replies_a_connection: int = 2**20) -> Any:
    """What a load finds where every request gets this reply."""
    answering: list[asyncio.Task[None]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(EOFError, ConnectionError):
            for _ in range(replies_a_connection):
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.split(b"Content-Length: ")[1].split()[0]))
                writer.write(reply)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering.append(asyncio.create_task(answer(reader, writer)))

    async def run() -> Any:
        async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
            try:
                return await call(load(server.sockets[0].getsockname()[1]))
            finally:
                await asyncio.gather(*answering)

    return asyncio.run(run())


def test_ours_and_another_take_turns(contest: Contest) -> None:
    seen: list[tuple[int, int]] = []
    found = compare(contest, lambda done, total, _: seen.append((done, total)))
    singles, pairs = contest.loads
    assert found.contestants(singles) == ["by address", "own latents", "coalesced", "threads"]
    assert found.contestants(pairs) == ["by address", "own latents", "threads"]
    for load in contest.loads:
        for name in found.contestants(load):
            figures = found.figures(load, name)
            assert len(figures) == 2
            assert all(0 < each.p50_ms <= each.p99_ms and each.images_per_s > 0 for each in figures)
    turn = found.turns[singles.name]["threads"][0]
    ratio = found.ratio(singles, "coalesced", "threads")
    assert ratio
    assert ratio.low <= turn["coalesced"].images_per_s / turn["threads"].images_per_s <= ratio.high
    assert found.ratio(pairs, "coalesced", "threads") is None
    assert all(len(found.resident_mb[name]) == 2 and min(found.resident_mb[name]) > 10 for name in ("ours", "threads"))
    assert len(found.limits) == 2
    assert seen[-1] == (13, 14)
    assert json.loads(json.dumps(found.to_dict()))["ratios"][singles.name]["by address / threads"]["median"] > 0


def test_a_server_that_does_not_start_is_told(contest: Contest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMS, "nobody", FORMS["threads"])
    with pytest.raises(PeerError, match=r"^nobody ended as it started; .*nobody\.log has what it said$"):
        compare(dataclasses.replace(contest, peers=["nobody"]), lambda *_: None)


def test_a_reply_that_is_an_error_ends_the_load() -> None:
    def refuse(_: bytes, context: grpc.ServicerContext) -> bytes:
        return context.abort(grpc.StatusCode.INTERNAL, "out of paint")

    with grpc_server(refuse) as port, pytest.raises(PeerError, match=r"^INTERNAL: out of paint$"):
        asyncio.run(call(load_of(port, "threads")))
    refusal = b"HTTP/1.1 503 Busy\r\ncontent-length: 12\r\n\r\nout of paint"
    with pytest.raises(PeerError, match=r"^HTTP/1\.1 503 Busy: out of paint$"):
        over_http(refusal, lambda port: load_of(port, "ray"))


@pytest.mark.parametrize("num_bytes", [127, 128 + 2 * 512 + 1])
def test_a_reply_of_another_size_ends_the_load(num_bytes: int) -> None:
    text = rf"^a reply of {num_bytes:,} bytes for images of 128$"
    with grpc_server(lambda *_: bytes(num_bytes)) as port, pytest.raises(PeerError, match=text):
        asyncio.run(call(load_of(port, "threads")))
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % num_bytes + bytes(num_bytes)
    with pytest.raises(PeerError, match=text):
        over_http(reply, lambda port: load_of(port, "litserve"))


def test_replies_of_the_right_size_are_counted() -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 128\r\n\r\n" + bytes(128)
    assert over_http(reply, lambda port: load_of(port, "ray")).images_per_s > 0


def test_a_connection_that_was_closed_between_requests_is_opened_again() -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 128\r\n\r\n" + bytes(128)
    assert over_http(reply, lambda port: load_of(port, "ray"), replies_a_connection=1).images_per_s > 0
    with pytest.raises(PeerError, match=r"^the connection broke: .+$"):
        over_http(reply, lambda port: load_of(port, "ray"), replies_a_connection=0)


def test_calls_longer_than_the_load_count_by_their_part_in_it() -> None:
    def generate(_: bytes, __: grpc.ServicerContext) -> bytes:
        time.sleep(0.4)
        return bytes(128)

    with grpc_server(generate) as port:
        figures = asyncio.run(call(load_of(port, "threads")))
    assert figures.p50_ms >= 400
    most = 2 * 2 / 0.4  # two callers, two images a call
    assert 0 < figures.images_per_s <= most


def test_nobody_there_is_told_in_a_line() -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        for form in ("threads", "ray"):
            with pytest.raises(PeerError, match=r"^[^\n]+$"):
                asyncio.run(call(load_of(one.getsockname()[1], form)))


def test_other_images_are_no_answer(models: Path) -> None:
    answer = Answer(str(models / MODEL / "1" / "model.onnx"))
    for num_bytes, text in ((192, r"other images than the model's, by \d+ levels"), (64, "64 bytes for images of 192")):
        with (
            grpc_server(lambda *_, size=num_bytes: bytes(size)) as port,
            pytest.raises(WrongAnswerError, match=f"^{text}$"),
        ):
            asyncio.run(answer.check("threads", port))


@pytest.mark.parametrize(("of_bytes", "datatype", "shape"), [(False, "FP32", [2, 5]), (True, "BYTES", [2])])
def test_requests_of_kserve_are_as_protobuf_has_them(of_bytes: bool, datatype: str, shape: list[int]) -> None:
    message = kserve_request().FromString(KServe(of_bytes=of_bytes).request(ROWS))
    assert message.model_name == MODEL
    (tensor,) = message.inputs
    assert (tensor.name, tensor.datatype, list(tensor.shape)) == ("latents", datatype, shape)
    (raw,) = message.raw_input_contents
    rows = [ROWS.data()[:20], ROWS.data()[20:]]
    assert raw == b"".join((b"\x14\0\0\0" if of_bytes else b"") + row for row in rows)


def test_replies_of_kserve_are_read() -> None:
    reply = b"\x0a\x03abc" + b"\x2a\x02\x0a\x00" + b"\x32\x90\x02" + bytes(272)
    assert KServe(of_bytes=False).pixels(reply) == bytes(272)
    rows = b"\x02\0\0\0ab" + b"\x03\0\0\0cde"
    assert KServe(of_bytes=True).pixels(b"\x32\x0d" + rows) == b"abcde"
    for broken in (reply[:-1], b"\x32\x80", b"\x08\x01"):
        with pytest.raises(PeerError, match=r"^the reply is "):
            KServe(of_bytes=False).pixels(broken)


def kserve_request() -> Any:
    """The class of a message as KServe's protocol describes it, as far as it is used."""
    file = descriptor_pb2.FileDescriptorProto(name="kserve.proto", package="kserve", syntax="proto3")
    field, tensor, request = descriptor_pb2.FieldDescriptorProto, file.message_type.add(), file.message_type.add()
    tensor.name, request.name = "Tensor", "Request"
    for owner, name, number, kind, many in (
        (tensor, "name", 1, field.TYPE_STRING, False),
        (tensor, "datatype", 2, field.TYPE_STRING, False),
        (tensor, "shape", 3, field.TYPE_INT64, True),
        (request, "model_name", 1, field.TYPE_STRING, False),
        (request, "inputs", 5, field.TYPE_MESSAGE, True),
        (request, "raw_input_contents", 7, field.TYPE_BYTES, True),
    ):
        label = field.LABEL_REPEATED if many else field.LABEL_OPTIONAL
        type_name = ".kserve.Tensor" if kind == field.TYPE_MESSAGE else None
        owner.field.add(name=name, number=number, type=kind, label=label, type_name=type_name)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("kserve.Request"))


def test_all_that_a_server_started_is_weighed_and_ends_with_it(tmp_path: Path) -> None:
    sleep = "import subprocess, sys, time; {}; time.sleep(600)"
    child = f"subprocess.Popen([sys.executable, '-c', {sleep.format('pass')!r}], start_new_session=True)"
    with running([sys.executable, "-c", sleep.format(child)], {}, tmp_path / "log") as server:
        while len(server.members()) < 2:
            assert server.is_running()
            time.sleep(0.01)
        members = server.members()
        assert server.resident_bytes() > 2_000_000
    assert not server.members()
    assert not any(Path(f"/proc/{pid}/exe").exists() for pid in members)


def test_what_needs_no_packages_of_its_own_runs_here(tmp_path: Path) -> None:
    assert python_of("threads", tmp_path / "threads") == sys.executable
    assert not list(tmp_path.iterdir())


def test_packages_that_cannot_be_had_are_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "absent.txt").write_text("./nowhere\n")
    monkeypatch.setattr("peer_loads.environments.REQUIREMENTS", tmp_path)
    with pytest.raises(PeerError, match=r"^absent cannot be installed: ERROR: [^\n]*nowhere[^\n]*$"):
        python_of("absent", tmp_path / "environment")
