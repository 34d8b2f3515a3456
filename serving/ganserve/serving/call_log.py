"""A line of the log for each call, or for each that failed."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from typing import Final, Literal

from ganserve.contract.text import one_line, printable

from .counted_call import OK, CountedCall
from .throttled_log import ThrottledLog

LoggedCalls = Literal["none", "failed", "all"]

_MOST_TEXT: Final = 400
_QUOTED: Final = re.compile(r"""(['"])(?:\\.|(?!\1).)*\1""")
_NAME: Final = re.compile(r"[\w .:@+-]{0,80}")

_log = logging.getLogger(__name__)


class CallLog:
    """Tells how calls ended: with what status, after how long, and why.

    What requests hold is not told: of an error's text, quoted words that are no plain names are left out. Of a flood
    of failures with one status, a line a second is written, which says how many there were; unless every call is told.
    """

    def __init__(self, *, every_call: bool, clock: Callable[[], float] = time.monotonic) -> None:
        """`every_call` is whether calls that ended well have a line too, and no line is left out."""
        self._every_call = every_call
        self._clock = clock
        self._throttled: dict[str, ThrottledLog] = {}

    def tell(self, call: CountedCall, took_s: float) -> None:
        """Writes the line of a call that has ended, where it has one."""
        if call.code == OK and not self._every_call:
            return
        model = call.model.labels[0] if call.model else ""
        fields = {
            "method": call.method.name,
            "code": call.code,
            "duration_ms": _milliseconds(took_s),
            "client": call.origin.peer(),
            **({"token": call.identity.name} if call.identity else {}),
            **({"model": model, "version": call.model.labels[1]} if call.model else {}),
            **(_work(call) if call.stopwatches else {}),
            **({"field": call.error.field} if call.error and call.error.field else {}),
        }
        text = f"{call.method.name}{f' of {model}' * bool(model)}: {call.code} in {took_s * 1e3:.1f} ms{_reason(call)}"
        level = _level(call)
        if self._every_call:
            _log.log(level, "%s", text, extra={"fields": fields})
            return
        if call.code not in self._throttled:
            self._throttled[call.code] = ThrottledLog(_log, interval_s=1.0, clock=self._clock)
        self._throttled[call.code].write(level, text, fields)


def _work(call: CountedCall) -> dict[str, float]:
    """What was made for a call, and how long each phase took; of the requests that one call holds, the longest."""
    work: dict[str, float] = {"rows": call.num_rows}
    for stopwatch in call.stopwatches:
        for phase, began_s, ended_s in stopwatch.phases():
            work[f"{phase}_ms"] = max(work.get(f"{phase}_ms", 0.0), _milliseconds(ended_s - began_s))
    return work


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1e3, 3)


def _level(call: CountedCall) -> int:
    if call.code == OK:
        return logging.INFO
    return logging.ERROR if call.code in ("INTERNAL", "UNKNOWN") else logging.WARNING


def _reason(call: CountedCall) -> str:
    """An error's text without what a request may hold, but for names."""
    if call.error is None:
        return ""
    text = printable(one_line(call.error))
    text = _QUOTED.sub(lambda match: match[0] if _NAME.fullmatch(match[0][1:-1]) else "'…'", text)
    return f": {text if len(text) <= _MOST_TEXT else f'{text[:_MOST_TEXT]}…'}"
