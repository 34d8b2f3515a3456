"""Clients in forked and spawned processes, and shared between threads."""

from __future__ import annotations

import subprocess
import sys
import threading
from multiprocessing.reduction import ForkingPickler

import pytest

from ganserve.client import CallCancelledError, Client

from .scripted import Script, ScriptedServer, image_values

FORKING = """
import os, sys
from ganserve.client import Client

# Another attempt would hide a dead connection.
client = Client(sys.argv[1], model="digits", timeout_s=10, retry_for_s=0)
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
