"""What a person watches while a run trains."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .config import TrainingConfig
from .report import Figures
from .scores import Scores

_PLAIN_EVERY_S = 15.0


class ProgressView:
    """A bar with speed, losses and time left; on a console that is no terminal, such as a log, a line now and then."""

    def __init__(self, console: Console, config: TrainingConfig, *, step: int, share_done: float) -> None:
        self._console = console
        self._config = config
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            TextColumn("{task.fields[done]} {task.fields[figures]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("training", total=1.0, figures="", done="")
        self._share_done = share_done
        self.on_step(step, share_done)
        self._next_line_s = time.monotonic() + _PLAIN_EVERY_S

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def on_step(self, step: int, share_done: float) -> None:
        """One more step is done, and so much of the run; its losses are not asked for."""
        self._share_done = share_done
        self._bar.update(self._task, completed=share_done, done=describe_steps(self._config, step, share_done))

    def on_report(self, figures: Figures) -> None:
        """Shows fresh figures."""
        text = (
            f"· {figures.images_per_s:,.0f} images/s "
            f"· discriminator {figures.discriminator_loss:.3f} · generator {figures.generator_loss:.3f}"
        )
        self._bar.update(self._task, figures=text)
        if not self._console.is_terminal and time.monotonic() >= self._next_line_s:
            self._next_line_s = time.monotonic() + _PLAIN_EVERY_S
            done = describe_steps(self._config, figures.step, self._share_done)
            self._console.print(f"{done} {text}", soft_wrap=True, highlight=False)

    def on_scores(self, scores: Scores, *, step: int) -> None:
        """Shows what an evaluation found, in a line that stays."""
        gan_test = ""
        if scores.gan_test is not None and scores.gan_test_balanced is not None:
            gan_test = f" · GAN-test {scores.gan_test:.1%}, classes alike {scores.gan_test_balanced:.1%}"
        self._console.print(
            f"step {step:,} · fid_domain {scores.fid_domain:.3g} (floor {scores.fid_floor:.3g}){gan_test} "
            f"· precision {scores.precision:.2f} · recall {scores.recall:.2f}",
            soft_wrap=True,
            highlight=False,
        )


def describe_steps(config: TrainingConfig, step: int, share_done: float) -> str:
    """How far a run is, such as `500 of 4,000 steps` or `500 steps in 2.50 of 20 minutes`."""
    if config.minutes is None:
        return f"{step:,} of {config.num_steps:,} steps"
    return f"{step:,} steps in {share_done * config.minutes:.2f} of {config.minutes:g} minutes"
