"""Servers that stop, die and come back under callers, who get every sample all the same."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ganserve.client import Client, NotFoundError

from .conftest import ServerProcess, StartServer

NUM_CALLERS = 16
NUM_CALLS = 30


def die(server: ServerProcess) -> None:
    server.process.kill()
    server.process.wait(60)


def stop(server: ServerProcess) -> None:
    assert server.stop() == 0


@pytest.mark.parametrize("leave", [die, stop])
def test_one_of_two_servers_leaves_and_no_call_is_lost(
    models: Path, start_server: StartServer, leave: Callable[[ServerProcess], None]
) -> None:
    with start_server(models) as leaving, start_server(models) as staying:
        lost: list[BaseException] = []
        under_way = threading.Barrier(NUM_CALLERS + 1)

        def call(seed: int) -> None:
            for number in range(NUM_CALLS):
                if number == 3:
                    under_way.wait(60)
                try:
                    assert client.generate(5, seed=seed).numpy().tobytes() == expected[seed]
                    assert sum(map(len, client.stream(40, seed=seed, batch_size=8))) == 40
                except BaseException as error:  # noqa: BLE001 - the test tells of all
                    lost.append(error)

        with Client([leaving.address, staying.address], model="digits") as client:
            expected = [client.generate(5, seed=seed).numpy().tobytes() for seed in range(NUM_CALLERS)]
            callers = [threading.Thread(target=call, args=(seed,)) for seed in range(NUM_CALLERS)]
            for caller in callers:
                caller.start()
            under_way.wait(60)
            leave(leaving)
            for caller in callers:
                caller.join()
        assert lost == []


def test_a_server_that_dies_and_comes_back_costs_time_alone(models: Path, start_server: StartServer) -> None:
    with start_server(models) as first, Client(first.address, model="digits", timeout_s=60) as client:
        expected = client.generate(100, seed=1).numpy()
        stream = client.stream(100, seed=1, batch_size=10)
        parts = [next(stream)]
        first.process.send_signal(signal.SIGKILL)
        first.process.wait(60)
        with start_server(models, "--listen", first.address):
            parts += stream
            again = client.generate(100, seed=1).numpy()
        assert (again == expected).all()
        assert b"".join(part.numpy().tobytes() for part in parts) == expected.tobytes()


def test_a_client_waits_until_a_server_has_loaded(models: Path, start_server: StartServer) -> None:
    with start_server(models) as used:
        address = used.address
    server = ServerProcess(models, "--listen", address)
    try:
        with Client(address, model="digits") as client:
            client.wait_until_ready(60)
            assert len(client.generate(1)) == 1
    finally:
        server.close()


def test_two_servers_with_different_models(models: Path, start_server: StartServer, tmp_path: Path) -> None:
    shutil.copytree(models / "plain", tmp_path / "plain" / "plain")
    shutil.copytree(models / "digits" / "1", tmp_path / "digits" / "digits" / "1")
    with start_server(tmp_path / "plain") as one, start_server(tmp_path / "digits") as other:
        addresses = [one.address, other.address]
        for model in ("plain", "digits"):
            with Client(addresses, model=model) as client:
                assert sum(len(client.generate(20)) for _ in range(4)) == 80
                assert sum(map(len, client.stream(20))) == 20
                assert [served.name for served in client.list_models()] == ["digits", "plain"]
        with Client(addresses, model="cats") as client, pytest.raises(NotFoundError) as caught:
            client.generate(1)
    assert f"{one.address}: there is no model 'cats'; this server has 'plain'" in str(caught.value)
    assert f"{other.address}: there is no model 'cats'; this server has 'digits'" in str(caught.value)
