"""`ganserve train`."""

from __future__ import annotations

import functools
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import cyclopts
from cyclopts import App, ArgumentCollection, Group, Parameter
from rich.console import Console

from ganserve.contract.bundle import usable_name
from ganserve.contract.errors import ConfigError
from ganserve.training.config import TrainingConfig
from ganserve.training.presets import DEFAULT_PRESET, preset_path, read_settings
from ganserve.training.rundir import RunDir

if TYPE_CHECKING:
    from ganserve.training.datasets import ImageDataset
    from ganserve.training.session import RunSummary

_START = Parameter(group=Group("Where to start", sort_key=-1))


def _fill_in(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Gives every flag that was left out the run's own value, for a run that is resumed, or else the preset's."""
    given = {argument.name: argument.tokens[0].value for argument in arguments if argument.tokens}
    run = given.get("--resume", given.get("--evaluate"))
    if run is not None:
        out_of_place = given.keys() & {"--preset", "--out"}
        if "--evaluate" in given:
            out_of_place = given.keys() - {"--evaluate", "--device"}
        if out_of_place:
            raise ConfigError(f"{', '.join(sorted(out_of_place))}: not for a run that is there, {run}; leave it out")
        run_dir = RunDir.existing(Path(run))
        path = run_dir.config
        settings = {name: value for name, value in run_dir.read_config().to_dict().items() if value is not None}
        settings["out"] = run
    else:
        path = preset_path(given.get("--preset", DEFAULT_PRESET))
        settings = read_settings(path)
        for flag in ("data", "out"):
            if f"--{flag}" not in given and flag not in settings:
                raise ConfigError(f"--{flag} is missing; try: ganserve train --data digits --out runs/digits")
    # The length of a run is given once; a flag wins over the other one in the settings.
    for flag, other in (("--steps", "minutes"), ("--minutes", "steps")):
        if flag in given:
            settings.pop(other, None)
    # Below the command's name, because `data` is the name of another command too.
    tree = functools.reduce(lambda branch, command: {command: branch}, reversed(commands), settings)
    cyclopts.config.Dict(tree, source=str(path))(app, commands, arguments)


app = App(name="train", config=_fill_in, version_flags=[])


@app.default
def train(
    config: Annotated[TrainingConfig, Parameter(name="*")],
    *,
    preset: Annotated[str | None, _START] = None,
    resume: Annotated[Path | None, _START] = None,
    evaluate: Annotated[Path | None, _START] = None,
    dry_run: Annotated[bool, _START, Parameter(negative=())] = False,
) -> None:
    """Train a generator on images.

    A small model of handwritten digits, in about a minute on two CPU cores:

        ganserve train --preset digits --out runs/digits

    The run folder gets checkpoints, sample grids, stats.jsonl, evaluations.jsonl and TensorBoard events. Ctrl-C saves
    and stops; the run continues, as if it had never stopped, with:

        ganserve train --resume runs/digits

    Parameters
    ----------
    preset
        Settings to begin with: mlp, dcgan, sndcgan, lsgan, hinge-resnet, wgan-clip, wgan-gp, r3gan, digits, or the path
        of a TOML file. Flags win over it. Left out: `sndcgan`, whose settings are the defaults shown below.
    resume
        Folder of a run to continue. It brings its own settings; --steps or --minutes may give a new total.
    evaluate
        Folder of a finished run to judge, and train nothing. `ganserve evaluate` knows more.
    dry_run
        Show the settings, the size of the networks and what a run would cost, and train nothing.
    """
    # Here and not above, because torch takes a second to import, and --help needs none.
    from ganserve.training.estimate import print_estimate
    from ganserve.training.presets.suggestion import suggest_preset
    from ganserve.training.ranks import Ranks
    from ganserve.training.run import resume_training, training_from_config

    from .evaluate import evaluate as evaluate_run

    is_quiet = not Ranks.from_environment().is_first
    console, messages = Console(quiet=is_quiet), Console(quiet=is_quiet, stderr=True)

    def hint(dataset: ImageDataset) -> None:
        if preset is None and (suggestion := suggest_preset(config, dataset)):
            messages.print(suggestion, soft_wrap=True, highlight=False, markup=False)

    if evaluate is not None:
        evaluate_run(evaluate, device=config.device)
        return
    if dry_run:
        print_estimate(config, console, on_images=hint)
        return
    if resume is not None:
        summary = resume_training(resume, console=console, **vars(config))
    else:
        summary = training_from_config(config, console=console, on_images=hint)
    _print_summary(summary, console)
    if summary.stopped_by is not None:
        raise SystemExit(128 + summary.stopped_by)


def _print_summary(summary: RunSummary, console: Console) -> None:
    run = shlex.quote(str(summary.run_dir))
    name = usable_name(summary.run_dir.resolve().name) or "model"
    if summary.stopped_by:
        stopped = f", stopped by {summary.stopped_by.name}"
    else:
        stopped = "" if summary.is_complete else ", stopped because nothing better came"
    lines = [
        f"trained  {summary.progress}{stopped}",
        f"run      {summary.run_dir}",
    ]
    if summary.images_per_s:
        lines.insert(1, f"speed    {summary.images_per_s:,.0f} images/s on {summary.device}, {summary.seconds:.0f} s")
    if summary.sample_grid.is_file():
        lines.append(f"samples  {summary.sample_grid}")
    if summary.best is not None:
        lines.append(f"best     step {summary.best.step:,}, kept as checkpoint `best`")
    lines += [f"warning  {warning}" for warning in summary.warnings]
    if summary.stopped_by and not summary.is_complete:
        lines.append(f"resume   ganserve train --resume {run}")
    if summary.images_seen:
        lines.append(f"next     ganserve export {run} --onnx --models models --name {name}")
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
