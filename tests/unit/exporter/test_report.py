"""What the terminal shows while a bundle is made, and how ctrl-C ends it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ganserve.contract.errors import ConfigError
from ganserve.exporter.cli.report import run_and_report
from ganserve.exporter.parity import OnProgress
from ganserve.exporter.pipeline import Export


@pytest.fixture(autouse=True)
def python_handles_interrupts() -> Iterator[None]:
    """As in a terminal; a job in the background of a shell ignores them."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_that_a_library_makes_an_error_of_is_still_one() -> None:
    def make(_: OnProgress) -> Export:
        try:
            interrupt()
        except KeyboardInterrupt:
            raise ConfigError("PyTorch cannot export the generator") from None
        raise AssertionError

    with pytest.raises(KeyboardInterrupt):
        run_and_report("exporting", Path("models"), make)


def test_an_interrupt_that_a_library_swallows_ends_it_before_the_bundle_is_written() -> None:
    def make(on_progress: OnProgress) -> Export:
        with suppress(KeyboardInterrupt):
            interrupt()
        on_progress(1, 8)
        raise AssertionError

    with pytest.raises(KeyboardInterrupt):
        run_and_report("exporting", Path("models"), make)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_errors_stay_what_they_are() -> None:
    def make(_: OnProgress) -> Export:
        raise ConfigError("no such thing")

    with pytest.raises(ConfigError, match="no such thing"):
        run_and_report("exporting", Path("models"), make)
