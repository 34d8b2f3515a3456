"""What a person sees of work that has to be done before, or beside, training."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

_LINE_EVERY_S = 15.0

OnProgress = Callable[[int, int], None]
"""Told how much is done, and of how much."""


@contextmanager
def shown(console: Console, title: str) -> Iterator[OnProgress]:
    """Shows how far the body is, as it tells: by a bar, or lines now and then on a console that is no terminal.

    Nothing is shown before the first word of progress, since there may be nothing to do.
    """
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(title, total=None)
            yield lambda num_done, total: progress.update(task, completed=num_done, total=total)
    else:
        yield _Lines(console, title)


class _Lines:
    """A line at the start, every fifteen seconds, and at the end."""

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._start_s: float | None = None
        self._next_line_s = 0.0

    def __call__(self, num_done: int, total: int) -> None:
        now_s = time.monotonic()
        if self._start_s is None:
            self._start_s = now_s
        if now_s < self._next_line_s and num_done < total:
            return
        self._next_line_s = now_s + _LINE_EVERY_S
        spent_s = now_s - self._start_s
        if num_done >= total:
            text = f"done in {_duration(spent_s)}"
        else:
            left = f", about {_duration(spent_s / num_done * (total - num_done))} left" if spent_s and num_done else ""
            text = f"{num_done:,} of {total:,}{left}"
        self._console.print(f"{self._title}: {text}", soft_wrap=True, highlight=False, markup=False)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))
