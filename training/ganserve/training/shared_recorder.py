"""Recording where several processes train together: the first records, and all go on, stop or fail as one."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from ganserve.contract.errors import DivergenceError

from .interrupt import StopSignal
from .loop import StepLosses
from .ranks import Ranks
from .recorder import Recorder


class SharedRecorder:
    """What the training loop of each rank reports to. A single process has its `Recorder` behind it and nothing more.

    After each step the ranks agree on what is next, so the others wait here while the first evaluates or saves. Only
    the first rank's averaged generator gets its batch norms estimated; elsewhere nobody looks at it, and its weights,
    which all ranks compute alike, are the same.
    """

    def __init__(self, ranks: Ranks, recorder: Recorder | None, stop: StopSignal) -> None:
        """`recorder` is None at all ranks but the first."""
        self._ranks = ranks
        self._recorder = recorder
        self._stop = stop
        self._is_enough = False
        self._open = ExitStack()

    def __enter__(self) -> Self:
        if self._recorder is not None:
            self._open.enter_context(self._recorder)
        self._together(lambda _: None)
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open.__exit__(error_type, error, traceback)

    def should_stop(self) -> bool:
        """Whether, by the end of the last step, a rank got a signal or the first rank had enough."""
        return self._is_enough

    def after_step(self, losses: StepLosses) -> None:
        """Has one step recorded, with the means of `losses` over the ranks. Raises DivergenceError at every rank."""
        self._ranks.average_(list(vars(losses).values()))
        self._together(lambda recorder: recorder.after_step(losses))

    def finish(self) -> None:
        """Has the end of the run recorded. Raises DivergenceError at every rank."""
        self._together(Recorder.finish)

    def _together(self, work: Callable[[Recorder], None]) -> None:
        """Has the first rank do `work`, and then all learn of signals, divergence and the end."""
        divergence: DivergenceError | None = None
        is_enough = False
        if self._recorder is not None:
            try:
                work(self._recorder)
                is_enough = self._recorder.should_stop()
            except DivergenceError as error:
                divergence = error
        number, is_enough_anywhere, has_diverged = self._ranks.largest(
            self._stop.received or 0, is_enough, divergence is not None
        )
        if number:
            self._stop.received = signal.Signals(number)
        self._is_enough = bool(number or is_enough_anywhere)
        if has_diverged:
            raise divergence or DivergenceError("the first rank found that training diverged")
