"""Data sets in the workers of a `DataLoader`, however they are started and whatever their parent does with the client.

Each program runs in a process of its own, which is ended when it hangs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ..servers import ServerProcess
from ..warm import run_python, start_python

NUM_TIMES = {"fork": 3, "forkserver": 2, "spawn": 1}

PROGRAM = """
import itertools, multiprocessing, pickle, sys, threading
import torch
from torch.utils.data import DataLoader, TensorDataset
from ganserve.client import Client, LocalGenerator
from ganserve.client.torch import SyntheticDataset, SyntheticStream, mix

LENGTH, BATCH = 60, 8

def use(client, stop, failures):
    while not stop.is_set():
        try:
            assert len(client.generate(40, seed=1)) == 40
            assert sum(map(len, client.stream(40, seed=1))) == 40
        except BaseException as error:
            failures.append(error)

def check(data, context, expected):
    loader = DataLoader(data, batch_size=BATCH, num_workers=2, multiprocessing_context=context)
    batches = list(loader)
    images, labels = (torch.cat(column) for column in zip(*batches))
    assert torch.equal(images, expected.torch()), "other samples"
    assert labels.tolist() == expected.labels.tolist()

def check_mixed(mixed, context):
    loader = DataLoader(mixed, batch_size=BATCH, num_workers=2, multiprocessing_context=context, shuffle=True)
    images, labels, flags = (torch.cat(column) for column in zip(*loader))
    assert labels.bincount().tolist() == [10] * 10
    seen = {image.numpy().tobytes() for image in images[flags]}
    assert len(seen) == 50, "a sample came twice"

def main():
    multiprocessing.set_forkserver_preload(["ganserve.client.torch"])  # which makes its workers start as fast as forks
    address, context, state, times = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    client = LocalGenerator(address) if state == "local" else Client(address, model="digits", timeout_s=20)
    expected = client.generate(LENGTH, seed=3)
    blank = TensorDataset(torch.zeros(50, 1, 8, 8, dtype=torch.uint8), torch.arange(50) % 10)
    stream = SyntheticStream(client, LENGTH, seed=3, batch_size=BATCH)
    dataset = SyntheticDataset(client, LENGTH, seed=3)
    mixed = mix(blank, client, seed=3, ratio=1, flag=True)
    stop, failures, threads = threading.Event(), [], []
    if state == "unopened":
        stream, dataset, mixed = pickle.loads(pickle.dumps((stream, dataset, mixed)))
        client.close()
    if state == "busy":
        threads = [threading.Thread(target=use, args=(client, stop, failures)) for _ in range(2)]
        for thread in threads:
            thread.start()
    for _ in range(times):
        peeked = iter(stream)
        head = list(itertools.islice(peeked, 3))
        check(stream, context, expected)
        if context != "spawn" or state == "open":  # such workers take long to start
            check(dataset, context, expected)
            check_mixed(mixed, context)
        tail = list(itertools.islice(peeked, LENGTH))
        assert torch.equal(torch.stack([image for image, _ in head + tail]), expected.torch()), "the parent's reader"
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures, failures

if __name__ == "__main__":
    main()
"""

CLOSED = """
import multiprocessing, sys
from torch.utils.data import DataLoader
from ganserve.client import Client
from ganserve.client.torch import SyntheticDataset, SyntheticStream

if __name__ == "__main__":
    multiprocessing.set_forkserver_preload(["ganserve.client.torch"])
    client = Client(sys.argv[1], model="digits", timeout_s=20)
    sets = [SyntheticDataset(client, 60, seed=3), SyntheticStream(client, 60, seed=3)]
    next(iter(sets[1]))
    client.close()
    for data in sets[: int(sys.argv[3])]:
        try:
            list(DataLoader(data, batch_size=8, num_workers=2, multiprocessing_context=sys.argv[2]))
        except RuntimeError as error:
            assert "this client is closed; make another" in str(error), error
        else:
            raise AssertionError("it was not told")
"""

RANK = """
import multiprocessing, sys
import torch
from torch.utils.data import DataLoader
from ganserve.client import LocalGenerator
from ganserve.client.torch import SyntheticStream

if __name__ == "__main__":
    bundle, context, store, rank = sys.argv[1:]
    multiprocessing.set_forkserver_preload(["ganserve.client.torch"])
    stream = SyntheticStream(LocalGenerator(bundle), 64, seed=3, batch_size=8)
    torch.distributed.init_process_group("gloo", init_method="file://" + store, rank=int(rank), world_size=2)
    assert len(stream) == 32
    loader = DataLoader(stream, batch_size=8, num_workers=2, multiprocessing_context=context)
    images = torch.cat([images for images, _ in loader])
    gathered = [torch.empty_like(images), torch.empty_like(images)]
    torch.distributed.all_gather(gathered, images)
    by_step = torch.stack([part.unflatten(0, (4, 8)) for part in gathered], 1).flatten(0, 2)
    assert torch.equal(by_step, LocalGenerator(bundle).generate(64, seed=3).torch())
    torch.distributed.destroy_process_group()
"""


def run(program: str, *arguments: str) -> None:
    ended = run_python("-c", program, *arguments, timeout_s=200)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize("context", NUM_TIMES)
@pytest.mark.parametrize("state", ["open", "unopened", "busy"])
def test_workers_and_their_parent_share_a_client(server: ServerProcess, context: str, state: str) -> None:
    run(PROGRAM, server.address, context, state, str(NUM_TIMES[context]))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize("context", NUM_TIMES)
def test_workers_that_run_a_bundle_each(models: Path, context: str) -> None:
    run(PROGRAM, str(models / "digits" / "2"), context, "local", str(-(-NUM_TIMES[context] // 2)))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize("context", NUM_TIMES)
def test_workers_of_a_closed_client_say_so(server: ServerProcess, context: str) -> None:
    run(CLOSED, server.address, context, "1" if context == "spawn" else "2")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize("context", ["fork", "forkserver"])
def test_workers_of_ranks_that_train_together(models: Path, tmp_path: Path, context: str) -> None:
    words = ("-c", RANK, models / "digits" / "2", context, tmp_path / "store")
    with start_python(*words, "0") as first, start_python(*words, "1") as second:
        told = [rank.communicate(timeout=120)[1] for rank in (first, second)]
        assert [rank.returncode for rank in (first, second)] == [0, 0], told
