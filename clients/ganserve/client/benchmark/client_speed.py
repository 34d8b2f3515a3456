"""Samples/s of each way of asking, taken in turns, so that what else the machine does meets all alike."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any, Final

import numpy as np

from ganserve.client._client import Client
from ganserve.client._samples.model_info import ModelInfo, short_name
from ganserve.client._transport.route import Route
from ganserve.contract.errors import ConfigError, OverloadedError
from ganserve.contract.measurements import Spread

from .contestants import PlainRequests, batches, single_samples, stream
from .limits import LONGEST_TURN_S, check_size
from .load import RequestKind
from .turns import Contestant, Turn, take_turn

PLAIN: Final = "plain requests"
BATCHES: Final = "Client.batches"
STREAM: Final = "Client.stream"
LOADER: Final = "DataLoader"
SINGLE: Final = "one sample a call"

_IN_FLIGHT: Final = (2, 4, 8, 16)
_SEED_BITS: Final = 53


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured.

    Attributes:
        size: samples a request and a batch.
        prefetch: batches ahead, of `Client.batches` and of each worker of the `DataLoader`.
        num_workers: processes of the `DataLoader`.
        num_rounds: turns of each way of asking.
        turn_s: seconds.
    """

    size: int
    prefetch: int
    num_workers: int
    num_rounds: int
    turn_s: float


@dataclass(frozen=True, kw_only=True)
class ClientSpeed:
    """What was measured.

    Attributes:
        model: who made the samples.
        settings: what was asked for.
        num_in_flight: plain requests that were under way at a time.
        samples_per_s: by way of asking, a value a round. The `DataLoader` is left out where PyTorch is not installed.
        p50_ms: median of the milliseconds that a call for one sample took, a value a round.
        p99_ms: what 99 of 100 of these calls stayed below, a value a round.
    """

    model: str
    settings: Settings
    num_in_flight: int
    samples_per_s: dict[str, list[float]]
    p50_ms: list[float]
    p99_ms: list[float]

    def ratio(self, way: str, base: str) -> Spread:
        """The rate of one way of asking over that of another, from the two values of each round."""
        return Spread.of_ratios(self.samples_per_s[way], self.samples_per_s[base])

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values, with the ratios."""
        ratios = {f"{way} / {PLAIN}": self.ratio(way, PLAIN) for way in (BATCHES, STREAM, LOADER) if self.has(way)}
        if self.has(LOADER):
            ratios[f"{LOADER} / {BATCHES}"] = self.ratio(LOADER, BATCHES)
        return {**asdict(self), "ratios": {name: ratio._asdict() for name, ratio in ratios.items()}}

    def has(self, way: str) -> bool:
        """Whether a way of asking was measured."""
        return way in self.samples_per_s


def measure(
    client: Client,
    route: Route,
    settings: Settings,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ClientSpeed:
    """Takes samples of the client's model in turns of `settings.turn_s` seconds, by each way of asking.

    Args:
        client: of one server and one model.
        route: to that server.
        settings: sizes and numbers.
        on_progress: told how many turns are over, and of how many.

    Raises:
        ConfigError: a number that cannot be used.
        RequestError: the server does not answer, or refuses.
    """
    model = client.get_model()
    _check(settings, model)
    with closing(PlainRequests(route, RequestKind.of(model.identity, settings.size))) as plain:
        ways = _ways(client, settings)
        for way in ways.values():  # which opens connections and starts workers
            take_turn(way, settings.turn_s / 2)
        num_in_flight = _most_useful_number(plain, settings.turn_s / 2)
        turns = _take_turns({PLAIN: partial(plain.take, num_in_flight), **ways}, settings, on_progress)
    waits_ms = [np.array(turn.waits_s) * 1e3 for turn in turns.pop(SINGLE)]
    return ClientSpeed(
        model=short_name(model.identity),
        settings=settings,
        num_in_flight=num_in_flight,
        samples_per_s={name: [turn.samples_per_s for turn in of_route] for name, of_route in turns.items()},
        p50_ms=[float(np.percentile(waits, 50)) for waits in waits_ms],
        p99_ms=[float(np.percentile(waits, 99)) for waits in waits_ms],
    )


def _check(settings: Settings, model: ModelInfo) -> None:
    if min(settings.num_rounds, settings.size, settings.prefetch) < 1 or not 0 < settings.turn_s < LONGEST_TURN_S:
        raise ConfigError("--rounds, --size, --prefetch and --seconds must all be positive, and a turn below an hour")
    if settings.num_workers < 0:
        raise ConfigError("--workers must be 0, for none, or more")
    check_size(settings.size, model)


def _ways(client: Client, settings: Settings) -> dict[str, Contestant]:
    """The ways that the client has, by name."""
    size, prefetch = settings.size, settings.prefetch
    ways = {
        BATCHES: batches(client, size=size, prefetch=prefetch, seed=_draw_seed()),
        STREAM: stream(client, size=size, seed=_draw_seed()),
    }
    if find_spec("torch"):
        from ganserve.client.torch._worker_batches import WorkerBatches

        loader = WorkerBatches(
            client, size=size, num_workers=settings.num_workers, prefetch=prefetch, seed=_draw_seed()
        )
        ways[LOADER] = loader.take
    ways[SINGLE] = single_samples(client, seed=_draw_seed())
    return ways


def _most_useful_number(plain: PlainRequests, turn_s: float) -> int:
    """How many plain requests under way at a time bring most samples a second."""
    rates: dict[int, float] = {}
    for num_in_flight in _IN_FLIGHT:
        try:
            rates[num_in_flight] = take_turn(partial(plain.take, num_in_flight), turn_s).samples_per_s
        except OverloadedError:
            if not rates:
                raise
            break
    return max(rates, key=rates.__getitem__)


def _take_turns(
    ways: dict[str, Contestant], settings: Settings, on_progress: Callable[[int, int], None]
) -> dict[str, list[Turn]]:
    """A turn a round of each; their order changes from round to round."""
    turns: dict[str, list[Turn]] = {name: [] for name in ways}
    total = settings.num_rounds * len(ways)
    for number in range(settings.num_rounds):
        for name in ways if number % 2 == 0 else reversed(ways):
            on_progress(sum(map(len, turns.values())), total)
            turns[name].append(take_turn(ways[name], settings.turn_s))
    return turns


def _draw_seed() -> int:
    return secrets.randbits(_SEED_BITS)
