"""Whether every method of every service of a whole server asks who calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc.aio import _server
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from ganserve.serving.config import ServingConfig
from ganserve.serving.scheduler import Job, RowQueue
from ganserve.serving.scopes import Scope, scopes_of
from ganserve.serving.server import Server
from ganserve.serving.tokens import Grant, hash_token
from ganserve.v1.generator_pb2 import (
    GenerateManyRequest,
    GenerateRequest,
    ModelSelector,
    SampleAddress,
    SampleQuery,
    StreamSamplesRequest,
    TimedRequest,
)
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub

OPEN = "/grpc.health.v1.Health/"
REFUSED = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
Handlers = dict[str, Any]
Story = Callable[[grpc.aio.Channel, Handlers], Awaitable[None]]
Play = Callable[[Story], None]


@pytest.fixture
def play(tmp_path: Path, make_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Play:
    """Plays a story with a channel to a server that knows a token for each scope, and all handlers of that server."""
    make_bundle(tmp_path / "models")
    grants = [Grant(name=scope, sha256=hash_token(scope), scopes=frozenset({scope})) for scope in Scope]
    (tmp_path / "tokens.toml").write_text("".join(f"{grant.line()}\n" for grant in grants))
    handlers: Handlers = {}
    add = _server.Server.add_generic_rpc_handlers

    def note(self: Any, generic_handlers: Iterable[Any]) -> None:
        generic_handlers = list(generic_handlers)
        for generic in generic_handlers:
            handlers.update(generic._method_handlers)
        add(self, generic_handlers)

    monkeypatch.setattr(_server.Server, "add_generic_rpc_handlers", note)

    async def run(story: Story) -> None:
        ready = tmp_path / "address"
        config = ServingConfig(
            models=tmp_path / "models",
            listen="127.0.0.1:0",
            device="cpu",
            tokens=tmp_path / "tokens.toml",
            allow_admin=True,
            ready_file=ready,
        )
        server = Server(config)
        serving = asyncio.create_task(server.serve())
        while not ready.exists():
            await asyncio.sleep(0.01)
            assert not serving.done()
        async with grpc.aio.insecure_channel(ready.read_text().strip()) as channel:
            assert handlers
            await story(channel, handlers)
        server.stop()
        await serving

    return lambda story: asyncio.run(asyncio.wait_for(run(story), 120))


async def status_of(channel: grpc.aio.Channel, method: str, handler: Any, *sent: tuple[str, str]) -> grpc.StatusCode:
    """How a call of an empty request ends, or that it has begun to be answered."""
    one, many = not handler.request_streaming, handler.response_streaming
    request: Any = b"" if one else iter([b""])
    kind = f"{'unary' if one else 'stream'}_{'stream' if many else 'unary'}"
    call = getattr(channel, kind)(method)(request, metadata=sent, timeout=20)
    try:
        await (call.read() if many else call)
    except grpc.aio.AioRpcError as error:
        return error.code()
    if many and call.done():
        return await call.code()  # type: ignore[no-any-return]
    call.cancel()
    return grpc.StatusCode.OK


def test_whoever_has_no_token_calls_nothing_but_health(play: Play) -> None:
    async def story(channel: grpc.aio.Channel, handlers: Handlers) -> None:
        for method, handler in handlers.items():
            for sent in ((), (("authorization", "Bearer guessed"),), (("authorization", "Basic Z2VuZXJhdGU6"),)):
                status = await status_of(channel, method, handler, *sent)
                assert (status in REFUSED) != method.startswith(OPEN), method
                assert status is not grpc.StatusCode.PERMISSION_DENIED, method

    play(story)


def test_a_token_calls_what_its_scope_allows_and_nothing_else(play: Play) -> None:
    async def story(channel: grpc.aio.Channel, handlers: Handlers) -> None:
        for method, handler in handlers.items():
            for scope in Scope:
                status = await status_of(channel, method, handler, ("authorization", f"Bearer {scope}"))
                allowed = scopes_of(method)
                may_call = allowed is None or scope in allowed
                assert (status is grpc.StatusCode.PERMISSION_DENIED) != may_call, (method, scope)
                assert status is not grpc.StatusCode.UNAUTHENTICATED, (method, scope)

    play(story)


def test_nothing_is_described_that_these_tests_do_not_call(play: Play) -> None:
    """The descriptors that reflection tells are those of the handlers, or of fewer."""

    async def story(channel: grpc.aio.Channel, handlers: Handlers) -> None:
        stub: Any = ServerReflectionStub(channel)  # type: ignore[arg-type]
        token = (("authorization", f"Bearer {Scope.GENERATE}"),)

        async def ask(**request: Any) -> Any:
            (reply,) = [
                reply
                async for reply in stub.ServerReflectionInfo(iter([ServerReflectionRequest(**request)]), metadata=token)
            ]
            return reply

        listed = (await ask(list_services="")).list_services_response.service
        services = {service.name for service in listed}
        assert services >= {
            "ganserve.v1.GeneratorService",
            "ganserve.v1.ModelAdminService",
            "grpc.health.v1.Health",
        }
        described = set()
        for service in services:
            for data in (await ask(file_containing_symbol=service)).file_descriptor_response.file_descriptor_proto:
                file = FileDescriptorProto.FromString(data)
                described |= {
                    f"/{file.package}.{one.name}/{method.name}"
                    for one in file.service
                    if f"{file.package}.{one.name}" in services
                    for method in one.method
                }
        assert described
        assert described <= set(handlers)

    play(story)


def test_turns_are_taken_between_tokens(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    clients: list[str] = []
    add = RowQueue.add

    def note(self: RowQueue, job: Job) -> None:
        clients.append(job.caller.client)
        add(self, job)

    monkeypatch.setattr(RowQueue, "add", note)

    async def story(channel: grpc.aio.Channel, handlers: Handlers) -> None:  # noqa: ARG001
        stub: Any = GeneratorServiceStub(channel)
        query = SampleQuery(model=ModelSelector(name="tiny"), address=SampleAddress(seed=1, count=1))
        token = (("authorization", f"Bearer {Scope.GENERATE}"),)
        await stub.Generate(GenerateRequest(query=query), metadata=token)
        await stub.GenerateMany(
            GenerateManyRequest(requests=[TimedRequest(request=GenerateRequest(query=query))] * 2), metadata=token
        )
        async for _ in stub.StreamSamples(StreamSamplesRequest(query=query), metadata=token):
            pass

    play(story)
    assert clients == [str(Scope.GENERATE)] * 4
