"""How far an epoch of a stream has been read, as it is saved and gone on with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ganserve.contract.errors import ConfigError

from ._shards import Layout, Place, Shard, Span, Unused, used_by_all
from ._shared import SharedNumbers

_MARK: Final = "ganserve_stream"
_VERSION: Final = 1
_STEPS_NOT_SAVED: Final = "_steps_since_snapshot"  # as torchdata's StatefulDataLoader has it
_MAX_WORKERS: Final = 4096


@dataclass(frozen=True)
class Progress:
    """What has been used of an epoch.

    Attributes:
        epoch: from 0.
        used: positions that were used before the present reading began.
        layout: how many read now; None where nobody does.
        taken: samples that each of them took since; of a worker alone, where only its state is known.
    """

    epoch: int
    used: tuple[Span, ...]
    layout: Layout | None
    taken: Mapping[Place, int]

    def go_on(self, place: Place, layout: Layout, length: int) -> tuple[Shard, int]:
        """The shard of a worker from here on, and how many of its samples it has taken.

        The same workers and ranks go on with their shards; others share what is left.

        Raises:
            ConfigError: others, and not all states are known.
        """
        if self.layout == layout and place in self.taken:
            return Shard(Unused(self.used, length), layout, layout.shard(place)), self.taken[place]
        return Shard(Unused(self.all_used(length), length), layout, layout.shard(place)), 0

    def all_used(self, length: int) -> tuple[Span, ...]:
        """What has been used by now. Raises ConfigError where not all states are known."""
        if self.layout is None:
            return self.used
        if any(place not in self.taken for place in self.layout.places()):
            raise ConfigError(
                f"the state is that of one of {self.layout.num_workers} workers, and nobody else can go on with it; "
                "load the state of the whole loader into the stream"
            )
        return tuple(used_by_all(self.used, length, self.layout, self.taken))


class Resume:
    """A progress that every worker goes on with once; the next time it begins the epoch anew."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self._begun = SharedNumbers(_MAX_WORKERS)

    def take(self, worker: int) -> Progress | None:
        """The progress, for the first time that this worker asks."""
        if self._begun[worker]:
            return None
        self._begun[worker] = 1
        return self.progress


def save(epoch: int, shard: Shard | None, place: Place, used: tuple[Span, ...], taken: int) -> dict[str, Any]:
    """The state of one reader, or of a stream that nobody reads, in plain values."""
    layout = shard.layout if shard else None
    return {
        _MARK: _VERSION,
        "epoch": epoch,
        "used": [list(span) for span in used],
        "num_ranks": layout.num_ranks if layout else 0,
        "num_workers": layout.num_workers if layout else 0,
        "block_size": layout.block_size if layout else 0,
        "rank": place.rank,
        "worker": place.worker,
        "taken": taken,
    }


def find_states(saved: Any) -> list[dict[str, Any]]:
    """The states of readers in whatever they were saved as part of: a loader's state, or a list of those of all ranks.

    Raises:
        ConfigError: there is none, or the loader has moved on since the readers' states were taken.
    """
    states = list(_walk(saved))
    if not states:
        raise ConfigError("there is no state of a SyntheticStream in what was loaded")
    return states


def join_states(states: list[dict[str, Any]]) -> Progress:
    """The progress of all readers. Those of ranks whose states are not there are taken to stand where the first does.

    Raises:
        ConfigError: states of different readings.
    """
    progresses = [_read(state) for state in states]
    first = progresses[0]
    if any((one.epoch, one.used, one.layout) != (first.epoch, first.used, first.layout) for one in progresses):
        raise ConfigError("the states are of different epochs or readings; load those that were saved together")
    taken = {place: count for one in progresses for place, count in one.taken.items()}
    for rank in range(first.layout.num_ranks if first.layout else 0):
        for (known_rank, worker), count in list(taken.items()):
            if known_rank == next(iter(taken)).rank:
                taken.setdefault(Place(rank, worker), count)
    return Progress(first.epoch, first.used, first.layout, taken)


def _read(state: dict[str, Any]) -> Progress:
    if state[_MARK] != _VERSION:
        raise ConfigError(f"the state of the stream has version {state[_MARK]}, and this ganserve reads {_VERSION}")
    used = tuple(Span(*span) for span in state["used"])
    if not state["num_workers"]:
        return Progress(state["epoch"], used, None, {})
    layout = Layout(state["num_ranks"], state["num_workers"], state["block_size"])
    return Progress(state["epoch"], used, layout, {Place(state["rank"], state["worker"]): state["taken"]})


def _walk(saved: Any) -> Iterator[dict[str, Any]]:
    if isinstance(saved, Mapping):
        if _MARK in saved:
            yield dict(saved)
            return
        if saved.get(_STEPS_NOT_SAVED):
            raise ConfigError(
                f"the loader's state is {saved[_STEPS_NOT_SAVED]} batches older than the loader; make the "
                "StatefulDataLoader with snapshot_every_n_steps=1, or load the state into one with as many workers"
            )
        saved = list(saved.values())
    if isinstance(saved, (list, tuple)):
        for part in saved:
            yield from _walk(part)
