"""`ganserve train`."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from ganserve.contract.errors import ConfigError

from .config import DeviceName, TrainingConfig
from .run import RunSummary, resume_training, training_from_config


def train(
    config: Annotated[TrainingConfig | None, Parameter(name="*")] = None,
    *,
    steps: int | None = None,
    device: DeviceName | None = None,
    resume: Path | None = None,
) -> None:
    """Train a generator on a folder of images.

    A small model of handwritten digits, in about a minute on two CPU cores:

        ganserve train --data digits --out runs/digits

    The run folder gets checkpoints, sample grids, stats.jsonl and TensorBoard events. Ctrl-C saves and stops; the run
    goes on, as if it had never stopped, with:

        ganserve train --resume runs/digits

    Parameters
    ----------
    steps
        Generator steps of the whole run, resumed parts included. Left out: 4000, or for a resumed run its own total.
    device
        Where to train. `auto`, the default, is CUDA where there is one, else the CPU.
    resume
        Folder of a run to go on with. Its settings come from the run; only --steps and --device may be added.
    """
    console = Console()
    if resume is not None:
        if config is not None:
            raise ConfigError(
                f"--resume {resume}: the run brings its own settings; leave out every flag but --steps and --device"
            )
        summary = resume_training(resume, steps=steps, device=device, console=console)
    else:
        if config is None:
            raise ConfigError("--data and --out are missing; try: ganserve train --data digits --out runs/digits")
        config = dataclasses.replace(
            config,
            steps=config.steps if steps is None else steps,
            device=config.device if device is None else device,
        )
        summary = training_from_config(config, console=console)
    _print_summary(summary, console)
    if summary.stopped_by is not None:
        raise SystemExit(128 + summary.stopped_by)


def _print_summary(summary: RunSummary, console: Console) -> None:
    run = shlex.quote(str(summary.run_dir))
    name = shlex.quote(summary.run_dir.resolve().name)
    stopped = f", stopped by {summary.stopped_by.name}" if summary.stopped_by else ""
    lines = [
        f"trained  {summary.steps:,} of {summary.num_steps:,} steps{stopped}",
        f"speed    {summary.images_per_s:,.0f} images/s on {summary.device}, {summary.seconds:.0f} s",
        f"run      {summary.run_dir}",
        f"samples  {summary.sample_grid}",
    ]
    if summary.stopped_by:
        lines.append(f"go on    ganserve train --resume {run}")
    lines.append(f"next     ganserve export {run} --onnx --models models --name {name}")
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
