"""Ours and the others in turns, each with a process of its own for server and load."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ganserve.runtime.onnx_file import read_card

from .answers import Answer, WrongAnswerError
from .comparison import LOADS, OURS, CallersLoad, Comparison
from .environments import python_of
from .errors import PeerError
from .forms import MODEL
from .load import Figures
from .processes import Server, free_ports, running

BENCHMARKS: Final = Path(__file__).resolve().parents[1]
START_S: Final = 120.0
NUM_PORTS: Final = 3
SETTINGS: Final = {
    "pytriton": {"PYTRITON_HOME": "{folder}"},
    "ray": {
        "RAY_AUTH_MODE": "disabled",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": "{folder}/haproxy/haproxy.cfg",
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": "{folder}/haproxy/metrics.sock",
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": "{folder}/haproxy",
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": "{folder}/haproxy/server-state",
        "RAY_SERVE_HAPROXY_SOCKET_PATH": "{folder}/haproxy/admin.sock",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_TMPDIR": "{folder}",
        "RAY_USAGE_STATS_ENABLED": "0",
    },
}
"""What servers read from their environment; `folder` is for their own files."""

OnProgress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class Contest:
    """What is measured: the model in a folder of bundles, on ours and on each peer."""

    models: Path
    build: Path
    peers: list[str]
    num_rounds: int
    turn_s: float
    loads: tuple[CallersLoad, ...] = LOADS

    @property
    def file(self) -> Path:
        return self.models / MODEL / "1" / "model.onnx"


@dataclass(frozen=True)
class Contestant:
    """A server that answers."""

    name: str
    port: int
    server: Server


def compare(contest: Contest, on_progress: OnProgress) -> Comparison:
    """Measures all servers; the order of all turns changes from round to round.

    Raises:
        PeerError: a server cannot be installed, does not start, or answers with something else than the images.
    """
    pythons = {peer: python_of(peer, contest.build / peer) for peer in contest.peers}
    turn = _Turns(contest, Comparison(contest.peers, contest.loads), on_progress)
    with turn.answering("ours", [sys.executable, "-m", "ganserve.cli", *_flags_of_ours(contest)]) as ours:
        for number in range(contest.num_rounds):
            for peer in contest.peers if number % 2 == 0 else reversed(contest.peers):
                command = [pythons[peer], "-m", f"peer_servers.{peer}", str(contest.file)]
                with turn.answering(peer, command) as other:
                    turn.found.limits.append(turn.limit())
                    for load in contest.loads:
                        turn.take(load, ours, other, backwards=number % 2 == 1)
                    turn.weigh(other)
            turn.weigh(ours)
    return turn.found


def _flags_of_ours(contest: Contest) -> list[str]:
    return ["serve", "--models", str(contest.models), "--device", "cpu", "--listen"]


class _Turns:
    """The measurements, one after the other."""

    def __init__(self, contest: Contest, found: Comparison, on_progress: OnProgress) -> None:
        self.found = found
        self._contest = contest
        self._on_progress = on_progress
        self._num_done = 0
        card = read_card(contest.file.read_bytes(), source=str(contest.file))
        self._dim = card.latent_dim
        self._image_bytes = card.image.height * card.image.width * card.image.channels
        self._answer = Answer(str(contest.file))

    @contextmanager
    def answering(self, name: str, command: list[str]) -> Iterator[Contestant]:
        """A server from its first right answer on."""
        port = free_ports(NUM_PORTS)
        last = f"127.0.0.1:{port}" if name == "ours" else str(port)
        self._contest.build.mkdir(parents=True, exist_ok=True)
        log = self._contest.build / f"{name}.log"
        start_s = time.monotonic()
        self._on_progress(self._num_done, self._total, f"starting {name}")
        with (
            tempfile.TemporaryDirectory() as folder,
            running([*command, last], _environment(name, folder), log) as server,
        ):
            contestant = Contestant(name, port, server)
            for form in OURS if name == "ours" else (name,):
                self._wait_for_answer(contestant, form, start_s + START_S, log)
            self.found.start_s.setdefault(name, []).append(time.monotonic() - start_s)
            yield contestant

    def limit(self) -> float:
        """Images/s without a server."""
        self._on_progress(self._num_done, self._total, "the limit")
        rates = _run_module("limit", str(self._contest.file), str(self._contest.turn_s / 2))
        return float(max(json.loads(rates)))

    def take(self, load: CallersLoad, ours: Contestant, other: Contestant, *, backwards: bool) -> None:
        """A turn of a peer, and of ours by each way of asking."""
        ways = [(other.name, other), *((way, ours) for way in load.ways())]
        figures = {form: self._measure(load, form, server) for form, server in (ways[::-1] if backwards else ways)}
        self.found.turns.setdefault(load.name, {}).setdefault(other.name, []).append(figures)

    def weigh(self, contestant: Contestant) -> None:
        resident_mb = contestant.server.resident_bytes() / 1e6
        self.found.resident_mb.setdefault(contestant.name, []).append(resident_mb)

    @property
    def _total(self) -> int:
        num_turns = sum(len(load.ways()) + 1 for load in self._contest.loads)
        return self._contest.num_rounds * len(self._contest.peers) * num_turns

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
            "warm_up_s": self._contest.turn_s / 4,
        }
        try:
            return Figures(**json.loads(_run_module("load", json.dumps(job))))
        except PeerError as error:
            raise PeerError(f"{contestant.name}, {load.name}, {form}: {error}") from None

    def _wait_for_answer(self, contestant: Contestant, form: str, end_s: float, log: Path) -> None:
        name, words = contestant.name, f"{log} has what it said"
        while True:
            try:
                return asyncio.run(self._answer.check(form, contestant.port))
            except WrongAnswerError as error:
                raise PeerError(f"{name} gives {error}") from None
            except PeerError as error:
                if not contestant.server.is_running():
                    raise PeerError(f"{name} ended as it started; {words}") from None
                if time.monotonic() > end_s:
                    raise PeerError(f"{name} does not answer in {START_S:g} s ({error}); {words}") from None
            time.sleep(0.1)


def _environment(name: str = "", folder: str = "") -> dict[str, str]:
    """Of a process that imports from here: a server that leaves its own files in a folder, or a load."""
    settings = {key: value.format(folder=folder) for key, value in SETTINGS.get(name, {}).items()}
    return {**os.environ, **settings, "PYTHONPATH": str(BENCHMARKS)}


def _run_module(name: str, *arguments: str) -> str:
    """What a module of this package prints, in a process of its own."""
    command = [sys.executable, "-m", f"peer_loads.{name}", *arguments]
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerError((done.stderr.strip().splitlines() or ["it ended without a word"])[-1])
    return done.stdout
