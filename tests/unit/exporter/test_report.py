"""What the terminal shows while a bundle is made, and how ctrl-C ends it."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ganserve.contract.errors import ConfigError
from ganserve.contract.manifest import read_manifest
from ganserve.exporter.cli.report import run_and_report
from ganserve.exporter.parity import OnProgress
from ganserve.exporter.pipeline import Export, ExportWarning
from ganserve.v1.model_pb2 import ModelCard


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


def test_what_is_doubtful_is_printed_once(
    tmp_path: Path, make_bundle: Callable[..., Path], tiny_card: ModelCard, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_bundle(tmp_path)

    def make(_: OnProgress) -> Export:
        warnings.warn("all images are grey", ExportWarning, stacklevel=1)
        return Export(
            folder=folder,
            manifest=read_manifest(folder),
            card=tiny_card,
            comparisons=[],
            warnings=("all images are grey",),
            checkpoint="best.safetensors, step 7",
        )

    run_and_report("exporting", tmp_path, make)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "grey" in line or "step 7" in line] == [
        "checkpoint: best.safetensors, step 7",
        "warning: all images are grey",
    ]
    assert lines[-1] == f"Next: ganserve serve --models {tmp_path} --listen 127.0.0.1:50051"
