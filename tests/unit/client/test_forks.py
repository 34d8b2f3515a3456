"""Clients in forked and spawned processes, and shared between threads."""

from __future__ import annotations

import sys
import threading
from multiprocessing.reduction import ForkingPickler

import pytest

from ganserve.client import CallCancelledError, Client

from ...warm import run_python
from .scripted import Script, ScriptedServer, image_values

START = """
import asyncio, gc, os, signal, sys, threading
from ganserve.client import AsyncClient, Client, RequestError

def values(samples):
    return samples.numpy()[:, 0, 0, 0].tolist()

def forked(check):
    # The exit code of a child that runs a check, and dies when it hangs.
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            os._exit(0 if check() else 1)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

coalesce = "coalesce" in sys.argv[2:]
client = Client(sys.argv[1], model="digits", timeout_s=10, coalesce=coalesce)
"""

GENERATE = """
assert values(client.generate(3, seed=1)) == [1, 2, 3]
codes = [forked(lambda: values(client.generate(30, seed=1)) == list(range(1, 31))) for _ in range(12)]
assert codes == [0] * 12, codes
assert values(client.generate(3, seed=1)) == [1, 2, 3]
"""

STREAM = """
stream = client.stream(200, seed=0)
assert values(next(stream)) == [0, 1, 2, 3]
codes = [forked(lambda: [v for s in stream for v in values(s)] == list(range(4 + 4 * i, 200))) for i in range(12)
         if i == 0 or next(stream)]
assert codes == [0] * 12, codes
assert [v for s in stream for v in values(s)][-1] == 199
"""

LEFT_ALONE = """
stream = client.stream(seed=0)
next(stream)

def leave():
    global stream, client
    del stream, client
    gc.collect()
    return True

codes = [forked(leave) for _ in range(5)]
assert codes == [0] * 5, codes
assert values(next(stream)) == [4, 5, 6, 7]
"""

SHARED = """
stop = threading.Event()
failures = []

def use(seed):
    while not stop.is_set():
        try:
            assert values(client.generate(1, seed=seed)) == [seed]
        except BaseException as error:
            failures.append(error)
            return

threads = [threading.Thread(target=use, args=(seed,)) for seed in range(8)]
for thread in threads:
    thread.start()
codes = [forked(lambda: [values(client.generate(1, seed=seed)) for seed in range(5)] == [[0], [1], [2], [3], [4]]
                and gc.collect() >= 0) for _ in range(25)]
stop.set()
for thread in threads:
    thread.join()
assert (codes, failures) == ([0] * 25, []), (codes, failures)
"""

IN_USE = """
stop = threading.Event()
failures = []

def use():
    while not stop.is_set():
        try:
            assert values(client.generate(30, seed=1)) == list(range(1, 31))
            assert [v for s in client.stream(30, seed=1) for v in values(s)] == list(range(1, 31))
        except BaseException as error:
            failures.append(error)
            return

threads = [threading.Thread(target=use) for _ in range(3)]
for thread in threads:
    thread.start()
codes = [forked(lambda: values(client.generate(30, seed=1)) == list(range(1, 31))) for _ in range(12)]
stop.set()
for thread in threads:
    thread.join()
assert (codes, failures) == ([0] * 12, []), (codes, failures)
"""

HEDGED = """
same = sys.argv[1].replace("127.0.0.1", "localhost")
client = Client([sys.argv[1], same], model="digits", timeout_s=10, hedge_after_s=0.001, coalesce=coalesce)
"""

ASYNCIO = """
async def ask(client):
    return values(await client.generate(3, seed=1)) == [1, 2, 3]

other = AsyncClient(sys.argv[1], model="digits", timeout_s=10, coalesce=coalesce)
assert asyncio.run(ask(other))

def refused():
    for one in (other, AsyncClient(sys.argv[1], model="digits")):
        try:
            asyncio.run(ask(one))
        except RuntimeError as error:
            assert "use Client here" in str(error), error
        else:
            return False
    return True

assert forked(refused) == 0
asyncio.run(other.close())
assert forked(lambda: asyncio.run(ask(AsyncClient(sys.argv[1], model="digits")))) == 0
"""

GARBAGE = """
async def leave_in_a_cycle(close):
    left = AsyncClient(sys.argv[1], model="digits", timeout_s=10, coalesce=coalesce)
    assert values(await left.generate(3, seed=1)) == [1, 2, 3]
    cycle = [left, left._connections.to(sys.argv[1])]
    cycle.append(cycle)
    if close:
        await left.close()

def use(kind):
    gc.collect()
    if kind is AsyncClient:
        return asyncio.run(ask_once())
    return values(client.generate(3, seed=1)) == [1, 2, 3]

async def ask_once():
    async with AsyncClient(sys.argv[1], model="digits", timeout_s=10) as another:
        return values(await another.generate(3, seed=1)) == [1, 2, 3]

gc.disable()
for close, kind in ((True, Client), (True, AsyncClient), (False, Client)):
    asyncio.run(leave_in_a_cycle(close))
    assert forked(lambda: use(kind)) == 0, (close, kind)
"""

EXIT = """
async def ask():
    await other.generate(1, seed=1)

other = AsyncClient(sys.argv[1], model="digits", timeout_s=10, coalesce=coalesce)
asyncio.run(ask())
child = os.fork()
if child == 0:
    signal.alarm(20)
    del other
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize(
    "program",
    [GENERATE, STREAM, LEFT_ALONE, IN_USE, HEDGED + IN_USE, SHARED, HEDGED + SHARED, ASYNCIO, GARBAGE, EXIT],
    ids=[
        "generate",
        "stream",
        "left alone",
        "in use",
        "hedged",
        "shared",
        "shared and hedged",
        "asyncio",
        "garbage",
        "exit",
    ],
)
@pytest.mark.parametrize("calls", ["single", "coalesce"])
def test_a_fork(script: Script, server: ScriptedServer, program: str, calls: str) -> None:
    script.max_samples = 20  # so that calls for one sample are small ones
    ended = run_python("-c", START + program, server.address, calls)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("coalesce", [False, True])
def test_a_client_in_use_can_be_sent_to_another_process(server: ScriptedServer, coalesce: bool) -> None:
    with Client(server.address, model="digits", coalesce=coalesce) as client:
        client.generate(1)
        sent = ForkingPickler.dumps(client)
        with ForkingPickler.loads(sent) as copy:
            assert image_values(copy.generate(2, seed=5).numpy()) == [5, 6]
            assert (copy._connections.to(server.address)._coalescer is not None) == coalesce


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
