"""`ganserve export`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ganserve.contract.errors import ConfigError
from ganserve.training.rundir import CheckpointName

from .pipeline import Export, export_run


def export(
    run: Path,
    *,
    onnx: Annotated[bool, Parameter(negative="")] = False,
    models: Path = Path("models"),
    name: str | None = None,
    version: int | None = None,
    checkpoint: CheckpointName | None = None,
) -> None:
    """Export a run's generator to a verified model bundle.

    The EMA weights go into one ONNX file that ends in uint8 pixels. It is checked against PyTorch at batch 1, 2, 7 and
    64 with every label; a mismatch is an error and leaves nothing behind.

    Example: ganserve export runs/digits --onnx --models models --name digits

    Args:
        run: Folder of the training run.
        onnx: Export to ONNX, the one format there is.
        models: Folder to put the bundle in, as `MODELS/NAME/VERSION`.
        name: Name to serve the model by. The default is the run folder's name.
        version: Version of the bundle. The default is the next free one.
        checkpoint: Which weights of the run. The default is the best where an evaluation chose one, else the last.
    """
    if not onnx:
        raise ConfigError("say which format to export to: ganserve export RUN --onnx")
    console = Console()
    start_s = time.monotonic()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("exporting and comparing with PyTorch", total=None)

        def show(num_done: int, total: int) -> None:
            progress.update(task, completed=num_done, total=total)

        result = export_run(run, models, name or run.resolve().name, version, show, checkpoint=checkpoint)
    _report(console, result, models, time.monotonic() - start_s)


def _report(console: Console, result: Export, models: Path, elapsed_s: float) -> None:
    parity = result.parity
    console.print(f"[bold]{result.folder}[/] in {elapsed_s:.1f} s", highlight=False)
    console.print(f"  model    {result.size_bytes / 1024**2:.2f} MiB, digest {result.digest[:12]}", highlight=False)
    console.print(
        f"  parity   {parity.num_images} images against PyTorch: floats within {parity.max_float_error:.2g}, "
        f"{parity.num_values_off_by_one} of {parity.num_values} values off by one level",
        highlight=False,
    )
    console.print(f"Next: ganserve serve --models {models} --listen 127.0.0.1:50051", highlight=False, soft_wrap=True)
