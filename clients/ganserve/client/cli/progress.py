"""The bars that show how far a command is, on standard error where people see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class SampleProgress:
    """Moves the bar on.

    Attributes:
        num_advanced: samples done so far, without those that were skipped.
    """

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self.num_advanced = 0
        self._bar = bar
        self._task = task

    def advance(self, num_samples: int, num_bytes: int = 0) -> None:
        """So many more samples are done, and so many bytes written."""
        self.num_advanced += num_samples
        self._bar.advance(self._task, num_samples)
        task = self._bar.tasks[0]
        self._bar.update(self._task, num_bytes=task.fields["num_bytes"] + num_bytes)

    def skip(self, num_samples: int) -> None:
        """So many samples need not be made."""
        total = self._bar.tasks[0].total or 0
        self._bar.update(self._task, total=total - num_samples)


@contextmanager
def showing_progress(total: int) -> Iterator[SampleProgress]:
    """A bar with samples, rate, size where one is told, and time left."""
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("samples"), _Rate(), _Size(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield SampleProgress(bar, bar.add_task("", total=total, num_bytes=0))


@contextmanager
def showing_turns() -> Iterator[Callable[[int, int], None]]:
    """A bar with the turns of a measurement; gives what is to be told how many are over, and of how many.

    It moves only when told, so that it takes no time from what is measured.
    """
    console = Console(stderr=True)
    columns = (TextColumn("measuring"), BarColumn(), MofNCompleteColumn(), TextColumn("turns"), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, auto_refresh=False, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total, refresh=True)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f}/s")


class _Size(ProgressColumn):
    def render(self, task: Task) -> Text:
        num_bytes = task.fields["num_bytes"]
        return Text(f"{num_bytes / 1e6:,.0f} MB" if num_bytes else "")
