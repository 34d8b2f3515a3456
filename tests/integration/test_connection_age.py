"""Connections that age, so that new servers behind one name get traffic."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from ganserve.client import AsyncClient, Client, RetryEvent, Samples
from ganserve.client._transport.access import NO_ACCESS
from ganserve.client._transport.administrator import Administrator

from ..servers import StartServer

AGEING = ("--max-connection-age-s", "1")
CUT_OFF = (*AGEING, "--connection-grace-s", "0.2")
"""With so little grace, calls are lost that take longer; that is how a stream is cut off."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, make_bundle: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("models")
    make_bundle(folder)
    return folder


class Forwarder:
    """A balancer of connections: each new one goes to the server that it has been told last.

    Attributes:
        address: where it listens.
        num_connections: how many went to each server.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.num_connections: dict[str, int] = {}
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for one in (self._listener, *self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                host, _, port = self.target.rpartition(":")
                far = socket.create_connection((host, int(port)))
                self._sockets += [near, far]
                self.num_connections[self.target] = self.num_connections.get(self.target, 0) + 1
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def forward() -> Iterator[Callable[[str], Forwarder]]:
    opened: list[Forwarder] = []

    def open_one(target: str) -> Forwarder:
        opened.append(Forwarder(target))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def test_a_stream_goes_on_over_several_connections_as_if_nothing_were(models: Path, start_server: StartServer) -> None:
    resumed: list[RetryEvent] = []
    with (
        start_server(models, *CUT_OFF) as server,
        Client(server.address, model="tiny", on_retry=resumed.append) as client,
    ):
        next_index = 0
        for samples in client.stream(seed=3, first_index=0):
            assert samples.indices[0] == next_index
            next_index += len(samples)
            if len(resumed) == 2:
                assert np.array_equal(samples.numpy(), client.generate(indices=samples.indices, seed=3).numpy())
                break
    assert all("samples of tiny, seed 3, from index" in event.asked for event in resumed)


def test_a_stream_goes_on_though_its_model_has_been_replaced(
    tmp_path: Path, make_bundle: Callable[..., Path], start_server: StartServer
) -> None:
    """Also when the model would linger no more, which it does for two seconds."""
    make_bundle(tmp_path / "models")
    resumed: list[RetryEvent] = []
    flags = (*CUT_OFF, "--allow-admin", "--linger-s", "2")
    with (
        start_server(tmp_path / "models", *flags) as server,
        Client(server.address, model="tiny", on_retry=resumed.append) as client,
        Administrator(server.address, NO_ACCESS, 60) as administrator,
    ):
        stream = cast("Generator[Samples]", client.stream(seed=3, batch_size=1000))
        digest = next(stream).model.digest
        administrator.unload("tiny", None)
        next_index = 1000
        for samples in stream:
            assert (samples.indices[0], samples.model.digest) == (next_index, digest)
            next_index += len(samples)
            if len(resumed) == 4:
                break
        assert [one.identity.digest for one in administrator.status().models if one.state] == [digest]
        stream.close()


def test_streams_on_an_event_loop_do_too(models: Path, start_server: StartServer) -> None:
    resumed: list[RetryEvent] = []

    async def read(address: str) -> None:
        async with (
            AsyncClient(address, model="tiny", on_retry=resumed.append) as client,
            aclosing(cast("AsyncGenerator[Samples]", client.stream(seed=3))) as stream,
        ):
            next_index = 0
            async for samples in stream:
                assert samples.indices[0] == next_index
                next_index += len(samples)
                if resumed:
                    return

    with start_server(models, *CUT_OFF) as server:
        asyncio.run(read(server.address))


def test_calls_move_to_a_new_server_and_none_is_lost(
    models: Path, start_server: StartServer, forward: Callable[[str], Forwarder]
) -> None:
    with start_server(models, *AGEING) as old, start_server(models) as new:
        balancer = forward(old.address)
        with Client(balancer.address, model="tiny", retry_for_s=0) as client:
            first = client.generate(2, seed=1)
            balancer.target = new.address
            while new.address not in balancer.num_connections:
                assert np.array_equal(client.generate(2, seed=1).numpy(), first.numpy())
            assert old.stop() == 0
            assert np.array_equal(client.generate(2, seed=1).numpy(), first.numpy())
