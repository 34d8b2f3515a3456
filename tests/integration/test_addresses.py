"""A sample is an address: the same bytes however, whenever and beside whatever it is asked for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ganserve.client import AsyncClient, Client, GanserveError

from ..servers import RunCommand, ServerProcess

SEED = 7
COUNT = 8


@pytest.fixture(scope="module")
def expected(server: ServerProcess) -> list[bytes]:
    """The eight samples, asked for at once."""
    with Client(server.address, model="digits") as client:
        images = client.generate(COUNT, seed=SEED).numpy()
    assert len({image.tobytes() for image in images}) == COUNT
    return [image.tobytes() for image in images]


@contextmanager
def flood(address: str, num_clients: int = 4) -> Iterator[list[int]]:
    """Keeps the server busy with large requests of other seeds; yields how many samples each client got."""
    stop = threading.Event()
    counts = [0] * num_clients

    def pull(number: int) -> None:
        with Client(address, model="digits") as client:
            while not stop.is_set():
                counts[number] += len(client.generate(500, seed=1000 + number, first_index=counts[number]))

    threads = [threading.Thread(target=pull, args=(number,)) for number in range(num_clients)]
    for thread in threads:
        thread.start()
    try:
        yield counts
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)


def test_one_by_one(server: ServerProcess, expected: list[bytes]) -> None:
    with Client(server.address, model="digits") as client:
        assert [client.generate(1, seed=SEED, first_index=i).numpy().tobytes() for i in range(COUNT)] == expected


def test_from_index_three_onward(server: ServerProcess, expected: list[bytes]) -> None:
    with Client(server.address, model="digits") as client:
        later = client.generate(COUNT, seed=SEED, first_index=3).numpy()
    assert [image.tobytes() for image in later[: COUNT - 3]] == expected[3:]


def test_all_at_the_same_time_from_one_asyncio_client(server: ServerProcess, expected: list[bytes]) -> None:
    async def fetch() -> list[bytes]:
        async with AsyncClient(server.address, model="digits") as client:
            calls = (client.generate(1, seed=SEED, first_index=i) for i in range(COUNT))
            return [samples.numpy().tobytes() for samples in await asyncio.gather(*calls)]

    assert asyncio.run(fetch()) == expected


def test_from_another_client_while_the_server_is_flooded(server: ServerProcess, expected: list[bytes]) -> None:
    with flood(server.address) as counts, Client(server.address, model="digits") as client:
        for _ in range(30):
            at_once = client.generate(COUNT, seed=SEED).numpy()
            assert [image.tobytes() for image in at_once] == expected
            one = client.generate(1, seed=SEED, first_index=5).numpy()
            assert one.tobytes() == expected[5]
    assert sum(counts) > 0


def test_in_any_order(server: ServerProcess, expected: list[bytes]) -> None:
    order = [7, 2, 2, 5, 6, 0]
    with Client(server.address, model="digits") as client:
        whole = client.generate(COUNT, seed=SEED)
        picked = client.generate(indices=order, seed=SEED)
    assert [image.tobytes() for image in picked.numpy()] == [expected[i] for i in order]
    assert picked.indices.tolist() == order
    assert whole.class_names is not None
    assert picked.class_names is not None
    assert picked.class_names.tolist() == whole.class_names[order].tolist()


@pytest.mark.parametrize("stream", [False, True])
def test_exactly_so_many_of_each_class(server: ServerProcess, stream: bool) -> None:
    counts = {"3": 1500, 8: 700}
    with Client(server.address, model="digits") as client:
        parts = list(client.stream(counts=counts, seed=SEED)) if stream else [client.generate(counts=counts, seed=SEED)]
        eight = client.generate(1, first_index=1500, labels="8", seed=SEED)
    names = [name for part in parts if part.class_names is not None for name in part.class_names.tolist()]
    assert names == ["3"] * 1500 + ["8"] * 700
    images = [image.tobytes() for part in parts for image in part.numpy()]
    assert images[1500] == eight.numpy().tobytes()


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_from_a_stream(server: ServerProcess, expected: list[bytes], batch_size: int) -> None:
    with Client(server.address, model="digits") as client:
        images = [
            image.tobytes()
            for samples in client.stream(COUNT, seed=SEED, batch_size=batch_size)
            for image in samples.numpy()
        ]
    assert images == expected


def test_the_command_writes_the_same_files(
    server: ServerProcess, expected: list[bytes], run_command: RunCommand, tmp_path: Path
) -> None:
    def generate(out: Path, *flags: str | Path) -> dict[str, bytes]:
        common = ("--server", server.address, "--model", "digits", "--seed", str(SEED), "--format", "png")
        done = run_command("generate", *common, "--out", out, *flags)
        assert done.returncode == 0, done.stderr
        return {path.name: path.read_bytes() for path in sorted(out.glob("*.png"))}

    at_once = generate(tmp_path / "once", "-n", str(COUNT))
    assert len(at_once) == len(expected)
    onward = generate(tmp_path / "onward", "-n", "5", "--first-index", "3")
    assert onward == dict(list(at_once.items())[3:])
    alone = generate(tmp_path / "alone", "-n", "1", "--first-index", "6")
    assert alone == dict(list(at_once.items())[6:7])


def test_another_seed_or_index_gives_other_samples(server: ServerProcess, expected: list[bytes]) -> None:
    with Client(server.address, model="digits") as client:
        others = [*client.generate(COUNT, seed=8).numpy(), *client.generate(COUNT, seed=SEED, first_index=8).numpy()]
    assert not {image.tobytes() for image in others} & set(expected)


def test_a_pinned_digest_refuses_another_model(server: ServerProcess) -> None:
    with Client(server.address, model="digits", digest="0" * 64) as client, pytest.raises(GanserveError) as caught:
        client.generate(1, seed=SEED)
    assert "no version with the digest" in str(caught.value)
