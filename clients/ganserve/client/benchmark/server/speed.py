"""What one model of a server reaches under loads of several kinds, in interleaved rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, Final

from ganserve.client._client import Client
from ganserve.client._samples.model_info import short_name
from ganserve.client._transport.route import Route
from ganserve.client.benchmark.load import LoadGenerator, Outcomes
from ganserve.contract.errors import OverloadedError, UnavailableError, UnsupportedError
from ganserve.contract.text import counted

from .figures import ClosedFigures, OpenFigures, ReplyFigures, ServerSpeed
from .loads import (
    BYTES_PER_MIB,
    OPEN_PERCENTS,
    REPLY_MIB,
    ClosedLoad,
    Settings,
    check,
    closed_loads,
    peak_loads,
    split_by_limit,
)
from .process import ServerProcess

_WARM_UP_SHARE: Final = 0.25  # of a turn
_REPLY_SHARE: Final = 0.25
_MOST_TURNS_A_REPLY: Final = 10
_FIRST_STREAM_SAMPLES: Final = 64

OnProgress = Callable[[int, int], None]


class Measurement:
    """Rounds of turns: closed loops first, whose peak the open loops of the round are shares of, then streams.

    Attributes:
        speed: what has been measured so far.
    """

    def __init__(
        self, client: Client, route: Route, settings: Settings, on_progress: OnProgress = lambda _done, _total: None
    ) -> None:
        """Asks the server for its model, and measures nothing yet.

        Args:
            client: of one server and one model.
            route: to that server.
            settings: loads and numbers.
            on_progress: told how many turns are over, and of how many.

        Raises:
            ConfigError: a number that cannot be used.
            RequestError: the server does not answer.
        """
        model = client.get_model()
        check(settings, model)
        lanes = model.runtime.lanes
        self._route = route
        self._server = None if settings.server_pid is None else ServerProcess(settings.server_pid)
        self._model = model
        self._settings = settings
        self._on_progress = on_progress
        self._one_sample = ClosedLoad(1, 1).kind(model.identity)
        self._stream_rate = 0.0
        self._loads, left_out = split_by_limit(closed_loads(settings), model)
        self.speed = ServerSpeed(
            model=short_name(model.identity),
            image=model.image_shape,
            device=f"{model.runtime.device} with {counted(lanes, 'lane')}",
            settings=settings,
            peak_per_s=[],
            closed={},
            opened={percent: [] for percent in OPEN_PERCENTS if "open" in settings.loads},
            stream=[],
            replies={},
            left_out=left_out,
        )

    def run(self) -> None:
        """Warms up, and takes all rounds of turns of `Settings.turn_s` seconds.

        Raises:
            RequestError: the server does not answer, or refuses for another reason than overload.
        """
        settings, route = self._settings, self._route
        self._generator = LoadGenerator(
            route.address, access=route.access, num_processes=settings.num_processes, timeout_s=settings.timeout_s
        )
        with closing(self._generator):
            self._warm_up()
            for number in range(settings.num_rounds):
                step = 1 if number % 2 == 0 else -1  # what else the machine does meets all alike
                self._take_closed_loops(self._loads[::step])
                self._take_open_loops(list(self.speed.opened)[::step])
                self._take_streams()

    def _warm_up(self) -> None:
        """Opens connections, and finds out what can be measured."""
        warm_up_s = self._settings.turn_s * _WARM_UP_SHARE
        for load in list(self._loads):
            try:
                self._close_loop(load, warm_up_s)
            except UnsupportedError:
                if load.num_together == 1:
                    raise
                self._loads.remove(load)
                self.speed.left_out.append(f"{load.name}: the server takes one request a call")
        self.speed.closed.update((load.name, []) for load in self._loads)
        if {"streams", "replies"} & set(self._settings.loads):
            self._find_stream_rate(warm_up_s)
        if "replies" in self._settings.loads:
            self._choose_replies()

    def _find_stream_rate(self, warm_up_s: float) -> None:
        num_samples = _FIRST_STREAM_SAMPLES
        for _ in range(2):
            self._stream_rate = self._stream(num_samples).samples_per_s
            num_samples = max(1, round(self._stream_rate * warm_up_s))

    def _choose_replies(self) -> None:
        height, width, channels = self._model.image_shape
        longest_s = _MOST_TURNS_A_REPLY * self._settings.turn_s
        for mib in REPLY_MIB:
            name = f"{mib} MiB"
            num_samples = max(1, mib * BYTES_PER_MIB // (height * width * channels))
            if num_samples > self._stream_rate * longest_s:
                reason = f"it would take {num_samples / self._stream_rate:,.0f} s"
                self.speed.left_out.append(f"a reply of {name}: {reason}; give more --seconds")
                continue
            fits = num_samples <= self._model.max_samples_per_request
            self.speed.replies[name] = ReplyFigures(num_samples=num_samples, whole_ms=[] if fits else None)
            if not fits:
                self.speed.left_out.append(f"{name} in one reply: it is more than the server makes for one request")

    def _take_closed_loops(self, loads: Sequence[ClosedLoad]) -> None:
        peaks_per_s, overloads = [], []
        for load in loads:
            outcomes, server_cpu_s = self._take_turn(self._close_loop, load, self._settings.turn_s)
            figures = ClosedFigures.of(outcomes, server_cpu_s)
            self.speed.closed[load.name].append(figures)
            overloads.append("" if figures.images_per_s else figures.overload)
            if load in peak_loads(self._settings):
                peaks_per_s.append(outcomes.calls_per_s)
        if loads and all(overloads):
            raise OverloadedError(f"the server answered nothing: {overloads[0]}")
        if self.speed.opened:
            if not any(peaks_per_s):
                raise OverloadedError("the server answered nothing in a closed loop, so there is no peak to hold it to")
            self.speed.peak_per_s.append(max(peaks_per_s))

    def _take_open_loops(self, percents: Sequence[int]) -> None:
        for percent in percents:
            peak_per_s = self.speed.peak_per_s[-1]
            offered_per_s = peak_per_s * percent / 100
            outcomes, _ = self._take_turn(self._open_loop, offered_per_s)
            if set(outcomes.codes) == {"UNAVAILABLE"}:
                raise UnavailableError(f"{self._route.address} does not answer any more")
            figures = OpenFigures.of(outcomes, offered_per_s=offered_per_s, peak_per_s=peak_per_s)
            self.speed.opened[percent].append(figures)

    def _take_streams(self) -> None:
        turn_s = self._settings.turn_s
        if "streams" in self._settings.loads:
            num_samples = max(1, round(self._stream_rate * turn_s))
            outcomes, server_cpu_s = self._take_turn(self._stream, num_samples)
            self.speed.stream.append(ClosedFigures.of(outcomes, server_cpu_s))
        for reply in self.speed.replies.values():
            outcomes, _ = self._take_turn(self._stream, reply.num_samples, turn_s * _REPLY_SHARE)
            reply.stream_ms.extend(_median_ms(outcomes))
            if reply.whole_ms is not None:
                outcomes = self._close_loop(ClosedLoad(1, reply.num_samples), turn_s * _REPLY_SHARE)
                reply.whole_ms.extend(_median_ms(outcomes))

    def _close_loop(self, load: ClosedLoad, turn_s: float) -> Outcomes:
        kind = load.kind(self._model.identity)
        return self._generator.closed_loop(kind, num_callers=load.num_calls, turn_s=turn_s)

    def _open_loop(self, calls_per_s: float) -> Outcomes:
        kind = peak_loads(self._settings)[0].kind(self._model.identity)
        turn_s, deadline_s = self._settings.turn_s, self._settings.deadline_s
        return self._generator.open_loop(kind, calls_per_s=calls_per_s, turn_s=turn_s, deadline_s=deadline_s)

    def _stream(self, num_samples: int, turn_s: float = 0.0) -> Outcomes:
        return self._generator.streams(self._one_sample, num_samples=num_samples, turn_s=turn_s)

    def _take_turn(self, take: Callable[..., Outcomes], *arguments: Any) -> tuple[Outcomes, float | None]:
        """What came of a turn, and the CPU seconds of the server meanwhile."""
        self._on_progress(self.speed.num_turns, self.speed.num_turns_in_all)
        before_s = self._server.cpu_s() if self._server else 0.0
        outcomes = take(*arguments)
        return outcomes, self._server.cpu_s() - before_s if self._server else None


def _median_ms(outcomes: Outcomes) -> list[float]:
    """Median latency, where there were answers."""
    median_ms = outcomes.latency_ms(50)
    return [] if median_ms is None else [median_ms]
