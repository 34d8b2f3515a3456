"""Futures of samples, over real gRPC."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import CancelledError, Future, as_completed, wait
from multiprocessing.reduction import ForkingPickler

import pytest

from ganserve.client import CallCancelledError, Client, InvalidRequestError, Samples, UnavailableError
from ganserve.client._calls.submissions import CALLS_AT_ONCE
from ganserve.v1.generator_pb2 import GenerateRequest

from ...warm import run_python
from .scripted import UNAVAILABLE, Script, ScriptedServer, image_values
from .test_forks import START


def seeds_asked(script: Script) -> list[int]:
    return [request.query.address.seed for request in script.asked(GenerateRequest)]


def wait_for_calls(script: Script, num_calls: int) -> None:
    ticks = threading.Event()
    for _ in range(1000):
        if len(script.asked(GenerateRequest)) >= num_calls:
            return
        ticks.wait(0.01)
    raise AssertionError(f"only {len(script.asked(GenerateRequest))} calls came")


def threads_alive() -> int:
    return sum(thread.name == "ganserve-submit" for thread in threading.enumerate())


def wait_for_no_threads() -> None:
    for thread in threading.enumerate():
        if thread.name == "ganserve-submit":
            thread.join(10)
    assert threads_alive() == 0


def test_futures_work_with_what_takes_futures(server: ScriptedServer) -> None:
    called: list[Future[Samples]] = []
    with Client(server.address, model="digits") as client:
        futures = {client.submit(3, seed=seed): seed for seed in range(20)}
        for future in futures:
            future.add_done_callback(called.append)
        for future in as_completed(futures):
            assert image_values(future.result().numpy()) == [futures[future] + i for i in range(3)]
        done, not_done = wait([client.submit(25, seed=1, labels="one"), client.submit(counts={"two": 2}, seed=3)])
        assert not not_done
        assert sorted(len(future.result()) for future in done) == [2, 25]
    assert set(called) == set(futures)
    wait_for_no_threads()


def test_who_comes_first_is_begun_first_and_only_so_many_run(server: ScriptedServer, script: Script) -> None:
    script.hold = threading.Event()
    with Client(server.address, model="digits") as client:
        client.get_model()
        futures = [client.submit(1, seed=seed) for seed in range(30)]
        wait_for_calls(script, CALLS_AT_ONCE)
        assert sum(future.running() for future in futures) == CALLS_AT_ONCE
        assert threads_alive() == CALLS_AT_ONCE
        assert set(seeds_asked(script)) == set(range(CALLS_AT_ONCE))
        assert futures[-1].cancel()
        assert not futures[0].cancel()
        script.hold.set()
        assert [len(future.result()) for future in futures[:-1]] == [1] * 29
        with pytest.raises(CancelledError):
            futures[-1].result()
    assert 29 not in seeds_asked(script)


def test_errors_come_with_the_result_and_wrong_arguments_at_once(server: ScriptedServer, script: Script) -> None:
    script.generate.extend([UNAVAILABLE] * 9)
    with Client(server.address, model="digits", retry_for_s=0) as client:
        assert isinstance(client.submit(3).exception(), UnavailableError)
        with pytest.raises(InvalidRequestError, match="n is 0"):
            client.submit(0)
        with pytest.raises(TypeError, match=r"^Client.submit\(\) got an unexpected keyword argument 'sede'$"):
            client.submit(3, sede=1)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match=r"^Client.submit\(\) got an unexpected keyword argument 'model'$"):
            client.submit(3, model="x")  # type: ignore[call-arg]


def test_closing_cancels_what_waits_and_ends_what_runs(server: ScriptedServer, script: Script) -> None:
    script.hold = threading.Event()
    client = Client(server.address, model="digits")
    client.get_model()
    futures = [client.submit(30, seed=seed) for seed in range(20)]
    waited: list[int] = []
    waiter = threading.Thread(target=lambda: waited.append(len(wait(futures).done)))
    waiter.start()
    wait_for_calls(script, CALLS_AT_ONCE)
    client.close()
    waiter.join(20)
    assert waited == [20]
    assert all(isinstance(future.exception(), CallCancelledError) for future in futures[:CALLS_AT_ONCE])
    assert all(future.cancelled() for future in futures[CALLS_AT_ONCE:])
    with pytest.raises(RuntimeError, match="closed"):
        client.submit(1)
    wait_for_no_threads()


def test_closing_ends_a_wait_for_a_server(deaf_address: str) -> None:
    client = Client(deaf_address, model="digits", timeout_s=60)
    future = client.submit(1)
    threading.Timer(0.3, client.close).start()
    assert isinstance(future.exception(20), CallCancelledError)


def test_a_pickled_copy_has_futures_of_its_own(server: ScriptedServer, script: Script) -> None:
    script.hold = threading.Event()
    with Client(server.address, model="digits") as client:
        client.get_model()
        futures = [client.submit(1, seed=seed) for seed in range(20)]
        wait_for_calls(script, CALLS_AT_ONCE)
        with ForkingPickler.loads(ForkingPickler.dumps(client)) as copy:
            script.hold.set()
            assert image_values(copy.submit(2, seed=5).result().numpy()) == [5, 6]
        assert [len(future.result()) for future in futures] == [1] * 20
        closed = ForkingPickler.dumps(copy)
    with pytest.raises(RuntimeError, match="closed"):
        ForkingPickler.loads(closed).submit(1)


FUTURES = """
from concurrent.futures import as_completed, wait
from ganserve.client import CallCancelledError

futures = [client.submit(30, seed=seed) for seed in range(40)]
futures[0].add_done_callback(lambda future: None)

def child():
    assert not [thread for thread in threading.enumerate() if thread.name == "ganserve-submit"]
    for seed, future in enumerate(futures):
        error = future.exception(5)
        assert error is None and len(future.result()) == 30 or isinstance(error, CallCancelledError), error
    assert wait(futures, 5).not_done == set()
    mine = [client.submit(3, seed=seed) for seed in range(20)]
    return sorted(values(future.result())[0] for future in as_completed(mine, 15)) == list(range(20))

codes = [forked(child) for _ in range(10)]
assert codes == [0] * 10, codes
assert [values(future.result())[0] for future in futures] == list(range(40))
"""

BATCHES = """
batches = client.batches(30, seed=0, n=1200, prefetch=4)
begun = [next(batches) for _ in range(3)]

def child():
    rest = [value for batch in batches for value in values(batch)]
    return rest == [i % 256 for i in range(30 * len(begun), 1200)]

def leave():
    global batches, client
    del batches, client
    gc.collect()
    return True

codes = []
for _ in range(4):
    codes += [forked(child), forked(leave)]
    begun.append(next(batches))
assert codes == [0] * 8, codes
assert [value for batch in begun + list(batches) for value in values(batch)] == [i % 256 for i in range(1200)]
"""


def test_a_script_ends_when_its_futures_have(server: ScriptedServer) -> None:
    program = "client.submit(3, seed=5).add_done_callback(lambda future: print(values(future.result())))"
    ended = run_python("-c", START + program, server.address)
    assert ended.stdout == "[5, 6, 7]\n"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize("program", [FUTURES, BATCHES], ids=["futures", "batches"])
def test_a_fork(server: ScriptedServer, program: str) -> None:
    ended = run_python("-c", START + program, server.address)
    assert ended.returncode == 0, ended.stderr
