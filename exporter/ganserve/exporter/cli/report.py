"""What the terminal shows while a bundle is made, and of the bundle."""

from __future__ import annotations

import itertools
import shlex
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from ganserve.console import open_console
from ganserve.contract import card as model_card
from ganserve.exporter.parity import Comparison, OnProgress
from ganserve.exporter.pipeline import Export, ExportWarning


def run_and_report(title: str, models: Path, make: Callable[[OnProgress], Export]) -> None:
    """Makes a bundle beside a progress bar, and prints how it compares, where it lies and what to do next."""
    console = open_console()
    start_s = time.monotonic()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with (
        _interruptible() as check_interrupt,
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task(title, total=None)

        def show(num_done: int, total: int) -> None:
            check_interrupt()
            progress.update(task, completed=num_done, total=total)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExportWarning)  # printed below
            export = make(show)
    console.print(_parity_table(export))
    facts = f"{export.size_bytes / 1024**2:.2f} MiB, digest {export.digest[:12]}"
    lines = (
        *([f"checkpoint: {export.checkpoint}"] if export.checkpoint else []),
        *([f"larger images {model_card.larger_images(export.card)}"] if export.card.HasField("halo") else []),
        *(f"warning: {warning}" for warning in export.warnings),
        f"{export.folder}, {facts}, in {time.monotonic() - start_s:.1f} s",
        f"Next: ganserve serve --models {shlex.quote(str(models))} --listen 127.0.0.1:50051",
    )
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _interruptible() -> Iterator[Callable[[], None]]:
    """Makes sure that ctrl-C ends the body, though PyTorch may catch what it raises, or make an error of it.

    Gives a function that raises KeyboardInterrupt where there has been one.
    """
    interrupted = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    def check() -> None:
        if interrupted:
            raise KeyboardInterrupt

    former = signal.getsignal(signal.SIGINT)
    if former is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield check  # whoever called has another use for it
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield check
    except Exception:
        check()
        raise
    finally:
        signal.signal(signal.SIGINT, former)


def _parity_table(export: Export) -> Table:
    """One row for each batch size with each label alone, and one with all labels mixed."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("batch", "labels", "dtype", "max error", "values off", "by levels", "seconds"):
        table.add_column(heading, justify="left" if heading in ("labels", "dtype") else "right")
    conditional = any(comparison.label is not None for comparison in export.comparisons)
    for (batch_size, alone), group in itertools.groupby(export.comparisons, key=_kind):
        comparisons = list(group)
        num_values = sum(comparison.num_values for comparison in comparisons)
        table.add_row(
            str(batch_size),
            f"each of {len(comparisons)} alone" if alone else "mixed" if conditional else "none",
            export.manifest.parity.dtype,
            f"{max(comparison.max_float_error for comparison in comparisons):.2g}",
            f"{sum(comparison.num_values_off for comparison in comparisons):,} of {num_values:,}" if num_values else "",
            str(max(comparison.max_levels_off for comparison in comparisons)) if num_values else "",
            f"{sum(comparison.seconds for comparison in comparisons):.3f}",
        )
    return table


def _kind(comparison: Comparison) -> tuple[int, bool]:
    return comparison.batch_size, comparison.label is not None
