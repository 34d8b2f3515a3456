"""Samples as an iterable data set."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

from ganserve.client import ConfigError, InvalidRequestError, LocalGenerator, UnavailableError
from ganserve.client.torch import SyntheticStream

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")

LENGTH, BATCH = 90, 8


@pytest.fixture(scope="module")
def generator(bundle: Path) -> Iterator[LocalGenerator]:
    with LocalGenerator(bundle) as generator:
        yield generator


@pytest.fixture(scope="module")
def numbers(generator: LocalGenerator) -> dict[bytes, int]:
    """The index of each sample by its pixels, of the first two epochs."""
    samples = generator.generate(2 * LENGTH, seed=3)
    return {image.tobytes(): index for index, image in enumerate(samples.torch().contiguous().numpy())}


def read(loader: Any, numbers: dict[bytes, int], most: int | None = None) -> list[list[int]]:
    """The indices of the samples of each batch."""
    batches = itertools.islice(iter(loader), most)
    return [[numbers[image.numpy().tobytes()] for image in images] for images, _ in batches]


def flat(batches: list[list[int]]) -> list[int]:
    return list(itertools.chain(*batches))


def stream(generator: Any, **arguments: Any) -> SyntheticStream:
    return SyntheticStream(generator, **{"length": LENGTH, "seed": 3, "batch_size": BATCH, **arguments})


@pytest.mark.parametrize("num_workers", [0, 1, 2, 3])
def test_batches_come_in_the_order_of_indices_whatever_the_workers(
    generator: LocalGenerator, numbers: dict[bytes, int], num_workers: int
) -> None:
    loader = DataLoader(stream(generator), batch_size=BATCH, num_workers=num_workers)
    assert flat(read(loader, numbers)) == list(range(LENGTH))


def test_labels_are_those_of_the_indices(source: Any) -> None:
    labels = [label for _, label in stream(source, labels="uniform")]
    assert labels == source.generate(LENGTH, seed=3, labels="uniform").labels.tolist()


@pytest.mark.parametrize("batch_size", [3, 8, 20])
def test_ranks_and_workers_share_the_samples(
    generator: LocalGenerator, numbers: dict[bytes, int], batch_size: int
) -> None:
    read_by = [
        flat(
            read(
                DataLoader(stream(generator, rank=rank, num_ranks=3), batch_size=batch_size, num_workers=2),
                numbers,
            )
        )
        for rank in range(3)
    ]
    assert sorted(itertools.chain(*read_by)) == list(range(LENGTH))
    assert [len(part) for part in read_by] == [len(stream(generator, rank=rank, num_ranks=3)) for rank in range(3)]


def test_epochs_and_persistent_workers(generator: LocalGenerator, numbers: dict[bytes, int]) -> None:
    data = stream(generator)
    loader = DataLoader(data, batch_size=BATCH, num_workers=2, persistent_workers=True)
    for epoch in (0, 1, 0):
        data.set_epoch(epoch)
        assert flat(read(loader, numbers)) == list(range(epoch * LENGTH, (epoch + 1) * LENGTH))
    del loader


def test_a_stream_without_end(source: Any) -> None:
    data = stream(source, length=None, first_index=5)
    assert len(list(itertools.islice(data, 20))) == 20
    data.set_epoch(1)
    next(iter(data))
    assert min(source.indices)[0] == 5
    assert 2**40 + 5 in [indices[0] for indices in source.indices]
    with pytest.raises(TypeError, match="the stream has no end"):
        len(data)


def test_a_few_requests_are_under_way(source: Any) -> None:
    data = stream(source, prefetch=3)
    reader = iter(data)
    next(reader)
    for answer in data._reader._requests._answers:  # type: ignore[union-attr]
        answer.result()
    assert sorted(source.indices) == [list(range(start, start + BATCH)) for start in range(0, 4 * BATCH, BATCH)]


def test_after_an_error_a_stream_can_go_on(source: Any, numbers: dict[bytes, int]) -> None:
    source.failures[2 * BATCH] = UnavailableError("gone")
    reader = iter(stream(source))
    seen = [next(reader) for _ in range(2 * BATCH)]
    with pytest.raises(UnavailableError):
        next(reader)
    seen += reader
    assert [numbers[image.numpy().tobytes()] for image, _ in seen] == list(range(LENGTH))


def test_readers_of_one_stream_do_not_disturb_each_other(source: Any) -> None:
    data = stream(source)
    first = iter(data)
    begun = [next(first) for _ in range(3)]
    again = list(data)
    assert len(begun) + len(list(first)) == len(again) == LENGTH


def test_a_reader_goes_on_in_a_forked_child_and_in_the_parent(
    generator: LocalGenerator, numbers: dict[bytes, int]
) -> None:
    reader = iter(stream(generator))
    next(reader)
    child = os.fork()
    if child == 0:
        rest = [numbers[image.numpy().tobytes()] for image, _ in reader]
        os._exit(0 if rest == list(range(1, LENGTH)) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [numbers[image.numpy().tobytes()] for image, _ in reader] == list(range(1, LENGTH))


@pytest.mark.parametrize("num_workers", [0, 1, 3])
@pytest.mark.parametrize("batch_size", [BATCH, 5])
@pytest.mark.parametrize("persistent", [False, True])
def test_a_stateful_loader_goes_on_exactly_and_then_begins_anew(
    generator: LocalGenerator, numbers: dict[bytes, int], num_workers: int, batch_size: int, persistent: bool
) -> None:
    if persistent and not num_workers:
        persistent = False

    def begin() -> tuple[SyntheticStream, Any]:
        data = stream(generator)
        return data, StatefulDataLoader(
            data, batch_size=batch_size, num_workers=num_workers, persistent_workers=persistent
        )

    _, loader = begin()
    whole = read(loader, numbers)
    _, loader = begin()
    batches = read(loader, numbers, 4)
    saved = loader.state_dict()
    data, loader = begin()
    loader.load_state_dict(saved)
    assert batches + read(loader, numbers) == whole
    assert read(loader, numbers) == whole
    data.set_epoch(1)
    assert sorted(flat(read(loader, numbers))) == list(range(LENGTH, 2 * LENGTH))


@pytest.mark.parametrize(("before", "after"), [(0, 2), (2, 0), (2, 3), (3, 1)])
def test_other_workers_go_on_in_the_same_order(
    generator: LocalGenerator, numbers: dict[bytes, int], before: int, after: int
) -> None:
    data = stream(generator)
    data.set_epoch(1)
    loader = StatefulDataLoader(data, batch_size=BATCH, num_workers=before)
    batches = read(loader, numbers, 5)
    saved = loader.state_dict()
    data = stream(generator)
    data.load_state_dict(saved)
    loader = StatefulDataLoader(data, batch_size=BATCH, num_workers=after)
    assert flat(batches + read(loader, numbers)) == list(range(LENGTH, 2 * LENGTH))
    assert flat(read(loader, numbers)) == list(range(LENGTH, 2 * LENGTH))


@pytest.mark.parametrize("all_known", [True, False])
@pytest.mark.parametrize("batch_size", [BATCH, 5])
def test_other_ranks_and_workers_lose_and_repeat_nothing(
    generator: LocalGenerator, numbers: dict[bytes, int], batch_size: int, all_known: bool
) -> None:
    seen: list[int] = []
    saved: Any = None
    for num_ranks, num_workers in ((2, 2), (3, 0), (1, 3)):
        states = []
        for rank in range(num_ranks):
            data = stream(generator, rank=rank, num_ranks=num_ranks)
            if saved:
                data.load_state_dict(saved)
            loader = StatefulDataLoader(data, batch_size=batch_size, num_workers=num_workers)
            seen += flat(read(loader, numbers, 2 if num_ranks > 1 else None))
            states.append(loader.state_dict())
        saved = states if all_known else states[-1]
    assert sorted(seen) == list(range(LENGTH))


def test_a_plain_loader_goes_on_at_a_position(generator: LocalGenerator, numbers: dict[bytes, int]) -> None:
    data = stream(generator)
    for _ in range(2):
        data.start_at(24)
        loader = DataLoader(data, batch_size=BATCH, num_workers=2)
        assert flat(read(loader, numbers)) == list(range(24, LENGTH))
        assert flat(read(loader, numbers)) == list(range(LENGTH))


def test_a_state_of_the_stream_itself(generator: LocalGenerator, numbers: dict[bytes, int]) -> None:
    data = stream(generator)
    reader = iter(data)
    for _ in range(13):
        next(reader)
    saved = data.state_dict()
    other = stream(generator)
    other.load_state_dict(saved)
    assert other.state_dict()["used"] == [[0, 13]]
    assert [numbers[image.numpy().tobytes()] for image, _ in other] == list(range(13, LENGTH))


def test_states_that_cannot_be_gone_on_with(generator: LocalGenerator, numbers: dict[bytes, int]) -> None:
    data = stream(generator)
    with pytest.raises(ConfigError, match="no state of a SyntheticStream"):
        data.load_state_dict({"epoch": 3})
    with pytest.raises(ConfigError, match="another seed"):
        data.load_state_dict(stream(generator, seed=4).state_dict())
    with pytest.raises(ConfigError, match=r"another first_index \(500\) than the data set has \(0\)"):
        data.load_state_dict(stream(generator, first_index=500).state_dict())
    loader = StatefulDataLoader(data, batch_size=BATCH, num_workers=2, snapshot_every_n_steps=3)
    read(loader, numbers, 4)
    with pytest.raises(ConfigError, match="1 batches older than the loader"):
        data.load_state_dict(loader.state_dict())
    loader = StatefulDataLoader(data, batch_size=BATCH, num_workers=2)
    read(loader, numbers, 3)
    of_one = next(iter(loader.state_dict()["_snapshot"]["_worker_snapshots"].values()))
    data.load_state_dict(of_one)
    with pytest.raises(ConfigError, match="the state is that of one of 2 workers, and nobody else"):
        next(iter(data))
    states = [dict(stream(generator).state_dict(), epoch=epoch) for epoch in (0, 1)]
    with pytest.raises(ConfigError, match="load those that were saved together"):
        data.load_state_dict(states)


def test_a_copy_for_another_process(generator: LocalGenerator) -> None:
    data = stream(generator)
    data.start_at(20)
    next(iter(data))
    data.start_at(30)
    copy = ForkingPickler.loads(ForkingPickler.dumps(data))
    assert len(list(copy)) == LENGTH - 30
    copy.recipe.source.close()


def test_the_rank_is_that_of_the_environment(source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert len(list(stream(source, length=40, batch_size=10))) == 20
    assert sorted(index for indices in source.indices for index in indices) == [*range(10, 20), *range(30, 40)]


def test_ranks_that_cannot_be(source: Any) -> None:
    with pytest.raises(ConfigError, match="rank is 1 and num_ranks None; give both or neither"):
        stream(source, rank=1)
    with pytest.raises(InvalidRequestError, match="rank is 2; it must be at most 1"):
        stream(source, rank=2, num_ranks=2)
    with pytest.raises(InvalidRequestError, match="length is 90, and the counts add up to 7"):
        stream(source, counts={"cat": 3, "dog": 4})
    with pytest.raises(InvalidRequestError, match="prefetch is 0"):
        stream(source, prefetch=0)
    with pytest.raises(InvalidRequestError, match="position is 91; it must be at most 90"):
        stream(source).start_at(91)


def test_images_pass_through_the_transform(source: Any) -> None:
    data = stream(source, transform=lambda image: image.float() / 255)
    image, _ = next(iter(data))
    assert image.dtype == torch.float32
