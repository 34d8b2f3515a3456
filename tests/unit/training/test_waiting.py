from __future__ import annotations

import io

import pytest
from rich.console import Console

from ganserve.training import waiting


@pytest.fixture
def now_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which stands still; append to it to let it go on."""
    times = [100.0]
    monkeypatch.setattr("ganserve.training.waiting.time.monotonic", lambda: times[-1])
    return times


def test_a_log_gets_a_line_at_once_now_and_then_and_at_the_end(now_s: list[float]) -> None:
    stream = io.StringIO()
    with waiting.shown(Console(file=stream), "learning") as on_progress:
        for num_done, time_s in [(1, 100), (50, 105), (250, 116), (300, 120), (500, 132), (1000, 140), (1000, 240)]:
            now_s.append(time_s)
            on_progress(num_done, 1000)
    assert stream.getvalue().splitlines() == [
        "learning: 1 of 1,000",
        "learning: 250 of 1,000, about 48 s left",
        "learning: 500 of 1,000, about 32 s left",
        "learning: done in 40 s",
        "learning: done in 0:02:20",
    ]


def test_nothing_is_said_where_nothing_is_to_do() -> None:
    stream = io.StringIO()
    with waiting.shown(Console(file=stream), "learning"):
        pass
    assert stream.getvalue() == ""


def test_a_terminal_gets_a_bar_that_goes_away() -> None:
    stream = io.StringIO()
    with waiting.shown(Console(file=stream, force_terminal=True, width=80), "learning") as on_progress:
        on_progress(500, 1000)
        on_progress(1000, 1000)
    assert "learning" in stream.getvalue()
    assert "50%" not in stream.getvalue().rpartition("\x1b[2K")[2]
