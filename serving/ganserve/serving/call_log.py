"""A line of the log for each call, or for each that failed."""

from __future__ import annotations

import logging
import re
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

    def __init__(self, *, every_call: bool) -> None:
        """`every_call` is whether calls that ended well have a line too, and no line is left out."""
        self._every_call = every_call
        self._throttled: dict[str, ThrottledLog] = {}

    def tell(self, call: CountedCall, took_s: float) -> None:
        """Writes the line of a call that has ended, where it has one."""
        if call.code == OK and not self._every_call:
            return
        model = call.model.labels[0] if call.model else ""
        fields = {
            "method": call.method.name,
            "code": call.code,
            "duration_ms": round(took_s * 1e3, 3),
            "client": call.origin.peer(),
            **({"model": model, "version": call.model.labels[1]} if call.model else {}),
            **({"field": call.error.field} if call.error and call.error.field else {}),
        }
        text = f"{call.method.name}{f' of {model}' * bool(model)}: {call.code} in {took_s * 1e3:.1f} ms{_reason(call)}"
        level = _level(call)
        if self._every_call:
            _log.log(level, "%s", text, extra={"fields": fields})
            return
        if call.code not in self._throttled:
            self._throttled[call.code] = ThrottledLog(_log, interval_s=1.0)
        self._throttled[call.code].write(level, text, fields)


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
