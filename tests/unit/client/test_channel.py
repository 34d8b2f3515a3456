"""Where channels lead, and that a forked or spawned process opens its own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from multiprocessing.reduction import ForkingPickler
from typing import Any

import pytest

from ganserve.client import CallCancelledError, Client, ConfigError, UnavailableError
from ganserve.client._channel import channel_target, parse_addresses, service_config

from .scripted import Script, ScriptedServer, image_values

FORKING = """
import os, sys
from ganserve.client import Client, _stream

_stream.MAX_ATTEMPTS = 1  # another attempt would hide a dead connection
client = Client(sys.argv[1], model="digits", timeout_s=10)
assert len(client.generate(3, seed=1)) == 3
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        (samples,) = client.stream(3, seed=1)
        os._exit(0 if samples.numpy()[:, 0, 0, 0].tolist() == [1, 2, 3] else 1)
    children.append(child)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
assert len(client.generate(3, seed=1)) == 3
client.close()
sys.exit(codes != [0, 0, 0])
"""


@pytest.mark.parametrize(
    "target",
    ["127.0.0.1:50051", "localhost:1", "[::1]:65535", "dns:///name:50051", "unix:/run/ganserve.sock", "ipv4:1.2.3.4:5"],
)
def test_one_address_goes_to_grpc_as_it_is(target: str) -> None:
    assert channel_target(parse_addresses(target)) == target


@pytest.mark.parametrize(
    ("addresses", "target"),
    [
        (["127.0.0.1:1", "127.0.0.2:2"], "ipv4:127.0.0.1:1,127.0.0.2:2"),
        (["[::1]:1", "[::2]:2"], "ipv6:[::1]:1,[::2]:2"),
        (["[::1]:1", "127.0.0.1:2"], "ipv6:[::1]:1,[::ffff:127.0.0.1]:2"),
        (["127.0.0.1:1", "127.0.0.1:1"], "ipv4:127.0.0.1:1"),
    ],
)
def test_several_addresses_become_one_target(addresses: list[str], target: str) -> None:
    assert channel_target(parse_addresses(addresses)) == target


def test_several_names_are_looked_up() -> None:
    assert "127.0.0.1" in channel_target(["localhost:1", "127.0.0.2:2"])


def test_a_name_that_nobody_knows() -> None:
    with pytest.raises(UnavailableError, match=r"nowhere\.invalid is no known host"):
        channel_target(["nowhere.invalid:1", "127.0.0.1:2"])


@pytest.mark.parametrize(
    "target",
    [
        "",
        "localhost",
        "127.0.0.1",
        "127.0.0.1:",
        "a:b",
        "host:0",
        "host:65536",
        "::1:50051",
        "a:1,b:2",
        "http://a:1",
        [],
    ],
)
def test_what_is_no_address_is_refused(target: Any) -> None:
    with pytest.raises(ConfigError, match="server address"):
        Client(target)


def test_a_list_holds_only_plain_addresses() -> None:
    with pytest.raises(ConfigError, match="dns:///a:1"):
        Client(["dns:///a:1", "b:2"])


def test_the_service_config_names_the_methods_of_the_contract() -> None:
    from ganserve.v1 import generator_pb2

    service = generator_pb2.DESCRIPTOR.services_by_name["GeneratorService"]
    unary = {method.name for method in service.methods if not method.server_streaming}
    (method_config,) = json.loads(service_config())["methodConfig"]
    assert {(name["service"], name["method"]) for name in method_config["name"]} == {
        (service.full_name, method) for method in unary
    }


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_forked_processes_open_their_own_channel(server: ScriptedServer) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FORKING, server.address], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_a_client_in_use_can_be_sent_to_another_process(server: ScriptedServer) -> None:
    with Client(server.address, model="digits") as client:
        client.generate(1)
        sent = ForkingPickler.dumps(client)
        with ForkingPickler.loads(sent) as copy:
            assert image_values(copy.generate(2, seed=5).numpy()) == [5, 6]


def test_threads_share_a_client(server: ScriptedServer) -> None:
    results: dict[int, list[int]] = {}
    with Client(server.address, model="digits") as client:

        def ask(seed: int) -> None:
            results[seed] = image_values(client.generate(25, seed=seed).numpy())

        threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(client._connections) == 1
    assert results == {seed: [(seed + i) % 256 for i in range(25)] for seed in range(8)}


def test_closing_ends_the_calls_under_way(server: ScriptedServer, script: Script) -> None:
    client = Client(server.address, model="digits")
    client.get_model()
    script.hold = threading.Event()
    threading.Timer(0.2, client.close).start()
    with pytest.raises(CallCancelledError):
        client.generate(30)
