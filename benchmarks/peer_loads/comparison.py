"""Ours and others in turns: who takes part, and what was measured."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from ganserve.contract.measurements import Spread
from ganserve.runtime.onnx_file import read_card
from peer_servers.model import Model

from .connections import connected
from .environments import python_of
from .errors import PeerError
from .forms import FORMS, MODEL, Rows
from .load import Figures
from .processes import Server, free_ports, running

PEERS: Final = ("threads", "pytriton", "mlserver", "litserve", "ray")
OURS: Final = ("by address", "own latents", "coalesced")

BENCHMARKS: Final = Path(__file__).resolve().parents[1]
START_S: Final = 120.0
WARM_UP_S: Final = 0.5
LIMIT_S: Final = 1.0
CHECKED_ROWS: Final = 3
NUM_PORTS: Final = 3
SETTINGS: Final = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}


@dataclass(frozen=True)
class CallersLoad:
    """Callers, and how many images each asks for at a time."""

    num_callers: int
    num_images: int

    @property
    def name(self) -> str:
        return f"{self.num_callers} caller{'s' * (self.num_callers > 1)} × {self.num_images}"

    def calls(self, form: str) -> tuple[int, int]:
        """Calls under way and images of each. A client that coalesces has two calls under way for all callers."""
        return (2, self.num_callers // 2) if form == "coalesced" else (self.num_callers, self.num_images)

    def ways(self) -> tuple[str, ...]:
        """How ours is asked; single calls of a single caller do not travel together."""
        return OURS if self.num_images == 1 < self.num_callers else OURS[:2]


LOADS: Final = (CallersLoad(64, 1), CallersLoad(1, 1), CallersLoad(1, 64), CallersLoad(4, 64))


@dataclass(frozen=True, kw_only=True)
class Contest:
    """What is measured: the model in a folder of bundles, on ours and on each peer."""

    models: Path
    build: Path
    peers: list[str]
    num_rounds: int
    turn_s: float

    @property
    def file(self) -> Path:
        return self.models / MODEL / "1" / "model.onnx"


@dataclass
class Comparison:
    """What was measured.

    Attributes:
        peers: the others.
        limits: images/s of the model without a server, a value a round.
        turns: by name of the load and of the peer, a dictionary a round: the peer's figures, and ours beside it by each
            way of asking.
        resident_mb: memory at the end of the loads, by server, a value a round.
        start_s: seconds from the start to the first right answer, by server.
    """

    peers: list[str]
    limits: list[float] = field(default_factory=list)
    turns: dict[str, dict[str, list[dict[str, Figures]]]] = field(default_factory=dict)
    resident_mb: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    start_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def contestants(self, load: CallersLoad) -> list[str]:
        return [*load.ways(), *self.peers]

    def figures(self, load: CallersLoad, name: str) -> list[Figures]:
        """All turns of a peer, or of ours by a way of asking."""
        return [turn[name] for turns in self.turns[load.name].values() for turn in turns if name in turn]

    def waits_ms(self, load: CallersLoad, name: str, percentile: str) -> list[float]:
        return [getattr(figures, percentile) for figures in self.figures(load, name)]

    def ratio(self, load: CallersLoad, way: str, peer: str) -> Spread | None:
        """Images/s of ours by a way of asking over those of a peer; None where they did not meet."""
        turns = self.turns[load.name].get(peer, [])
        if way not in load.ways() or not turns:
            return None
        return Spread.of([turn[way].images_per_s / turn[peer].images_per_s for turn in turns])

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values, with the ratios."""
        ratios = {
            load.name: {
                f"{way} / {peer}": ratio._asdict()
                for way in load.ways()
                for peer in self.peers
                if (ratio := self.ratio(load, way, peer))
            }
            for load in LOADS
        }
        return {**asdict(self), "ratios": ratios}


@dataclass(frozen=True)
class Contestant:
    """A server that answers."""

    name: str
    port: int
    server: Server


def compare(contest: Contest, on_progress: Callable[[int, int, str], None]) -> Comparison:
    """Measures all servers; the order of the peers changes from round to round.

    Raises:
        PeerError: a server cannot be installed, does not start, or answers with something else than the images.
    """
    pythons = {peer: python_of(peer, contest.build / peer) for peer in contest.peers}
    turn = _Turns(contest, Comparison(contest.peers), on_progress)
    with turn.answering("ours", [sys.executable, "-m", "ganserve.cli", *_flags_of_ours(contest)]) as ours:
        for number in range(contest.num_rounds):
            turn.found.limits.append(turn.limit())
            for peer in contest.peers if number % 2 == 0 else reversed(contest.peers):
                command = [pythons[peer], "-m", f"peer_servers.{peer}", str(contest.file)]
                with turn.answering(peer, command) as other:
                    for load in LOADS:
                        turn.take(load, ours, other)
                    turn.weigh(other)
            turn.weigh(ours)
    return turn.found


def _flags_of_ours(contest: Contest) -> list[str]:
    return ["serve", "--models", str(contest.models), "--device", "cpu", "--listen"]


class _Turns:
    """The measurements, one after the other."""

    def __init__(
        self, contest: Contest, found: Comparison, on_progress: Callable[[int, int, str], None]
    ) -> None:
        self.found = found
        self._contest = contest
        self._on_progress = on_progress
        self._num_done = 0
        card = read_card(contest.file.read_bytes(), source=str(contest.file))
        self._dim = card.latent_dim
        self._image_bytes = card.image.height * card.image.width * card.image.channels
        self._rows = Rows(5, CHECKED_ROWS, card.latent_dim)
        self._expected = Model(str(contest.file), num_threads=1)(self._rows.latents())

    @contextmanager
    def answering(self, name: str, command: list[str]) -> Iterator[Contestant]:
        """A server from its first right answer on."""
        port = free_ports(NUM_PORTS)
        last = f"127.0.0.1:{port}" if name == "ours" else str(port)
        environment = {**os.environ, **SETTINGS, "PYTHONPATH": str(BENCHMARKS)}
        self._contest.build.mkdir(parents=True, exist_ok=True)
        log = self._contest.build / f"{name}.log"
        start_s = time.monotonic()
        self._on_progress(self._num_done, self._total, f"starting {name}")
        with running([*command, last], environment, log) as server:
            contestant = Contestant(name, port, server)
            for form in OURS if name == "ours" else (name,):
                self._wait_for_answer(contestant, form, start_s + START_S, log)
            self.found.start_s[name].append(time.monotonic() - start_s)
            yield contestant

    def limit(self) -> float:
        """Images/s without a server."""
        self._on_progress(self._num_done, self._total, "the limit")
        rates = _run_module("limit", str(self._contest.file), str(LIMIT_S))
        return float(max(json.loads(rates)))

    def take(self, load: CallersLoad, ours: Contestant, other: Contestant) -> None:
        """A turn of a peer, and then ours by each way of asking."""
        figures = {other.name: self._measure(load, other.name, other)}
        figures |= {way: self._measure(load, way, ours) for way in load.ways()}
        self.found.turns.setdefault(load.name, {}).setdefault(other.name, []).append(figures)

    def weigh(self, contestant: Contestant) -> None:
        self.found.resident_mb[contestant.name].append(contestant.server.resident_bytes() / 1e6)

    @property
    def _total(self) -> int:
        return self._contest.num_rounds * len(self._contest.peers) * sum(len(load.ways()) + 1 for load in LOADS)

    def _measure(self, load: CallersLoad, form: str, contestant: Contestant) -> Figures:
        self._on_progress(self._num_done, self._total, f"{load.name}, {form}")
        self._num_done += 1
        num_calls, num_images = load.calls(form)
        job = {
            "form": form,
            "port": contestant.port,
            "num_callers": num_calls,
            "num_images": num_images,
            "latent_dim": self._dim,
            "image_bytes": self._image_bytes,
            "seconds": self._contest.turn_s,
            "warm_up_s": WARM_UP_S,
        }
        try:
            return Figures(**json.loads(_run_module("load", json.dumps(job))))
        except PeerError as error:
            raise PeerError(f"{contestant.name}, {load.name}, {form}: {error}") from None

    def _wait_for_answer(self, contestant: Contestant, form: str, end_s: float, log: Path) -> None:
        while True:
            try:
                pixels = asyncio.run(self._answer(contestant, form))
                break
            except PeerError as error:
                if not contestant.server.is_running():
                    raise PeerError(f"{contestant.name} ended as it started; {log} has what it said") from None
                if time.monotonic() > end_s:
                    raise PeerError(
                        f"{contestant.name} does not answer in {START_S:g} s ({error}); {log} has what it said"
                    ) from None
                time.sleep(0.1)
        if len(pixels) != self._expected.size:
            raise PeerError(f"{contestant.name} gave {len(pixels):,} bytes for images of {self._expected.size:,}")
        given = np.frombuffer(pixels, np.uint8).reshape(self._expected.shape)
        if np.abs(given.astype(int) - self._expected).max() > 1:
            raise PeerError(f"{contestant.name} gave other images than the model's, {form}")

    async def _answer(self, contestant: Contestant, form: str) -> bytes:
        async with connected(FORMS[form], contestant.port, 1) as (connection,):
            reply = await connection.ask(FORMS[form].request(self._rows))
            return FORMS[form].pixels(reply, self._rows, self._image_bytes)


def _run_module(name: str, *arguments: str) -> str:
    """What a module of this package prints, in a process of its own."""
    command = [sys.executable, "-m", f"peer_loads.{name}", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerError((done.stderr.strip().splitlines() or ["it ended without a word"])[-1])
    return done.stdout
