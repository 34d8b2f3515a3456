from __future__ import annotations

import logging

import pytest

from ganserve.serving.throttled_log import ThrottledLog


def test_one_line_an_interval_tells_of_all(caplog: pytest.LogCaptureFixture) -> None:
    now_s = 0.0
    log = ThrottledLog(logging.getLogger("test"), interval_s=10, clock=lambda: now_s)
    for _ in range(1_000):
        log.warning("again")
    now_s = 10.0
    log.warning("again")
    log.warning("again")
    now_s = 30.0
    log.warning("again")
    assert [record.getMessage() for record in caplog.records] == [
        "again",
        "again (and 999 more since the last such line)",
        "again (and 1 more since the last such line)",
    ]
