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
from ganserve.client._samples.model_info import short_name
from ganserve.client._transport.route import Route
from ganserve.contract.errors import OverloadedError
from ganserve.contract.measurements import Spread

from .contestants import PlainRequests, batches, single_samples, stream
from .limits import check_size
from .load import RequestKind
from .rounds import TakenInRounds
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
class ClientSpeed(TakenInRounds):
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

    def ratio(self, way: str, base: str) -> Spread | None:
        """The rate of one way of asking over that of another, from the two values of each round that has both."""
        rounds = list(zip(self.samples_per_s[way], self.samples_per_s[base], strict=False))
        return Spread.of([rate / of_base for rate, of_base in rounds]) if rounds else None

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values, with the ratios, and with what is missing."""
        pairs = [(way, PLAIN) for way in (BATCHES, STREAM, LOADER)] + [(LOADER, BATCHES)]
        ratios = {
            f"{way} / {base}": ratio._asdict()
            for way, base in pairs
            if self.has(way) and (ratio := self.ratio(way, base))
        }
        return {**asdict(self), "ratios": ratios, "missing": self.missing}

    def has(self, way: str) -> bool:
        """Whether a way of asking was to be measured."""
        return way in self.samples_per_s

    def taken(self) -> dict[str, list[float]]:
        """The values of the turns that were taken, by way of asking."""
        return {**self.samples_per_s, SINGLE: self.p50_ms}

    def num_rounds(self) -> int:
        """Rounds that were to be taken."""
        return self.settings.num_rounds


class Measurement:
    """Takes samples of a client's model in turns, by each way of asking."""

    def __init__(
        self,
        client: Client,
        route: Route,
        settings: Settings,
        on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> None:
        """Asks the server for its model, and measures nothing yet.

        Args:
            client: of one server and one model.
            route: to that server.
            settings: sizes and numbers.
            on_progress: told how many turns are over, and of how many.

        Raises:
            ConfigError: the model does not allow the size.
            RequestError: the server does not answer.
        """
        self._client = client
        self._route = route
        self._settings = settings
        self._on_progress = on_progress
        self._model = client.get_model()
        self._num_in_flight = 0
        self._turns: dict[str, list[Turn]] = {}
        check_size(settings.size, self._model)

    def run(self) -> None:
        """Takes all turns, each of `Settings.turn_s` seconds.

        Raises:
            RequestError: the server does not answer, or refuses.
        """
        settings = self._settings
        with closing(PlainRequests(self._route, RequestKind.of(self._model.identity, settings.size))) as plain:
            ways = _ways(self._client, settings)
            for way in ways.values():  # which opens connections and starts workers
                take_turn(way, settings.turn_s / 2)
            self._num_in_flight = _most_useful_number(plain, settings.turn_s / 2)
            self._take_turns({PLAIN: partial(plain.take, self._num_in_flight), **ways})

    @property
    def speed(self) -> ClientSpeed:
        """What has been measured so far."""
        turns = dict(self._turns)
        waits_ms = [np.array(turn.waits_s) * 1e3 for turn in turns.pop(SINGLE, [])]
        return ClientSpeed(
            model=short_name(self._model.identity),
            settings=self._settings,
            num_in_flight=self._num_in_flight,
            samples_per_s={way: [turn.samples_per_s for turn in taken] for way, taken in turns.items()},
            p50_ms=[float(np.percentile(waits, 50)) for waits in waits_ms],
            p99_ms=[float(np.percentile(waits, 99)) for waits in waits_ms],
        )

    def _take_turns(self, ways: dict[str, Contestant]) -> None:
        """A turn a round of each; their order changes from round to round."""
        self._turns = {name: [] for name in ways}
        total = self._settings.num_rounds * len(ways)
        for number in range(self._settings.num_rounds):
            for name in ways if number % 2 == 0 else reversed(ways):
                self._on_progress(sum(map(len, self._turns.values())), total)
                self._turns[name].append(take_turn(ways[name], self._settings.turn_s))


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


def _draw_seed() -> int:
    return secrets.randbits(_SEED_BITS)
