from __future__ import annotations

import pytest

from ganserve.serving.pace import Pace


def test_what_is_expected_counts_until_something_is_measured() -> None:
    pace = Pace(0.25)
    assert pace.row_s == pytest.approx(0.25)
    pace.settle(10, 5.0, rows_wait=True)  # nobody knows when these began
    assert pace.row_s == pytest.approx(0.25)


def test_the_pace_is_that_of_the_last_seconds() -> None:
    pace = Pace(1.0)
    now_s = 0.0
    for row_s in (0.01, 0.05):
        pace.settle(4, now_s, rows_wait=True)
        for _ in range(400):
            now_s += 8 * row_s
            pace.settle(8, now_s, rows_wait=True)
        assert pace.row_s == pytest.approx(row_s, rel=0.02)


def test_pauses_do_not_count() -> None:
    pace = Pace(0.1)
    for second in range(0, 100, 10):
        pace.settle(5, second, rows_wait=True)
        pace.settle(5, second + 0.5, rows_wait=False)
    assert pace.row_s == pytest.approx(0.1)
