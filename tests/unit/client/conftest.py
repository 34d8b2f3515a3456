from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from ganserve.client import AsyncClient, Client, Samples

from .scripted import Script, ScriptedServer

Connect = Callable[..., Client]


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def server(script: Script) -> Iterator[ScriptedServer]:
    server = ScriptedServer(script)
    yield server
    server.stop()


@pytest.fixture
def deaf_address() -> str:
    """Where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{unused.getsockname()[1]}"


WAYS = ["threads", "asyncio"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "connect" in metafunc.fixturenames:
        too = bool(metafunc.definition.get_closest_marker("coalescing_too"))
        metafunc.parametrize("connect", WAYS + [f"{way}, coalescing" for way in WAYS if too], indirect=True)


@pytest.fixture
def connect(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Makes clients: `Client`, and `AsyncClient` behind the same methods, so that one test holds for both.

    Tests that are marked `coalescing_too` hold for clients that coalesce calls as well, of which every request for
    samples is sent as if it travelled with others.
    """
    kind, _, coalescing = request.param.partition(", ")
    monkeypatch.setattr("ganserve.client._transport.joint_call._FEWEST_TOGETHER", 1)
    monkeypatch.setattr("ganserve.client._transport.gathering._MOST_SHARE", 1)
    with asyncio.Runner() as runner:
        opened: list[Any] = []

        def make(target: Any, model: str | None = "digits", **arguments: Any) -> Any:
            arguments = {"coalesce": bool(coalescing)} | arguments
            client: Any = (
                Client(target, model=model, **arguments)
                if kind == "threads"
                else _Blocking(AsyncClient(target, model=model, **arguments), runner)
            )
            opened.append(client)
            return client

        yield make
        for client in opened:
            client.close()


class _Blocking:
    """An `AsyncClient` whose methods wait for their result."""

    def __init__(self, client: AsyncClient, runner: asyncio.Runner) -> None:
        self._client = client
        self._runner = runner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await method(*args, **kwargs)

        return lambda *args, **kwargs: self._runner.run(call(*args, **kwargs))

    def pinned(self) -> _Blocking:
        return _Blocking(self._runner.run(self._client.pinned()), self._runner)

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[Samples]:
        return self._iterate(self._client.stream(*args, **kwargs))

    def batches(self, *args: Any, **kwargs: Any) -> Iterator[Samples]:
        return self._iterate(self._client.batches(*args, **kwargs))

    def _iterate(self, stream: AsyncIterator[Samples]) -> Iterator[Samples]:
        async def next_samples() -> Samples | None:
            return await anext(stream, None)

        async def close() -> None:
            await stream.aclose()  # type: ignore[attr-defined]

        try:
            while (samples := self._runner.run(next_samples())) is not None:
                yield samples
        finally:
            self._runner.run(close())
