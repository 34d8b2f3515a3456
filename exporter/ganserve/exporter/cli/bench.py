"""`ganserve bench model`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ganserve.console import open_console
from ganserve.contract.measurements import Spread
from ganserve.exporter.benchmark import Figure, ModelSpeed, measure
from ganserve.flags import Rounds, Seconds, within
from ganserve.runtime.device import DeviceChoice, choose_device, count_physical_cores
from ganserve.runtime.lanes import BATCH_ROWS, LANES


def bench_model(
    bundle: Path,
    *,
    batch_size: Annotated[tuple[int, ...], within(BATCH_ROWS), Parameter(negative="")] = (1, 8, 32, 64),
    lanes: Annotated[tuple[int, ...], within(LANES), Parameter(negative="", show_default=False)] = (),
    rounds: Rounds = 5,
    seconds: Seconds = 0.5,
    device: DeviceChoice = "auto",
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Measure the speed of a bundle, beside PyTorch and the machine's limit.

    The bundle runs in the server's engine. PyTorch runs a generator of the same architecture in eager mode, channels
    last, with as many threads as there are lanes. Both end in uint8 images on the CPU, and take turns; keep the machine
    quiet meanwhile.

    Example: ganserve bench model models/digits/1

    Args:
        bundle: Its folder, `MODELS/NAME/VERSION`.
        batch_size: Images a run; may be given several times.
        lanes: Runs at once, on a CPU; may be given several times. The default is 1, and one for each core.
        rounds: Turns of each.
        seconds: Length of a turn.
        device: What to run on. auto is CUDA where there is a GPU, else the CPU.
        as_json: Print one JSON object in place of the table.
    """
    messages = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=messages, transient=True, auto_refresh=False, disable=not messages.is_terminal
    ) as progress:
        task = progress.add_task("measuring", total=None)
        speed = measure(
            bundle,
            device=choose_device(device),
            batch_sizes=list(dict.fromkeys(batch_size)),
            lane_counts=list(dict.fromkeys(lanes)) or sorted({1, count_physical_cores()}),
            num_rounds=rounds,
            turn_s=seconds,
            on_progress=lambda done, total: progress.update(task, completed=done, total=total, refresh=True),
        )
    if as_json:
        print(json.dumps(speed.to_dict()))
    else:
        _print_table(speed, open_console())


def _print_table(speed: ModelSpeed, console: Console) -> None:
    facts = [f"{speed.model} in {speed.dtype} on {speed.device}"]
    if speed.flops_per_image is not None:
        facts.append(f"{speed.flops_per_image / 1e6:,.1f} million operations an image")
    peaks = (f"{flops / 1e9:,.0f} G/s on {lanes}" for lanes, flops in speed.peak_flops().items())
    facts.append(f"a wide convolution in fp32: {', '.join(peaks)}")
    console.print("; ".join(facts), soft_wrap=True, highlight=False, markup=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    beside = () if speed.flops_per_image is None else ("PyTorch", "over PyTorch", "of the peak")
    for heading in ("lanes", "batch", "images/s", *beside):
        table.add_column(heading, justify="right")
    for figure in speed.figures:
        table.add_row(str(figure.num_lanes), str(figure.batch_size), *_cells(figure, speed.flops_per_image))
    console.print(table)
    num_rounds = len(speed.figures[0].bundle)
    console.print(f"Medians and ranges; rounds: {num_rounds}.", highlight=False)
    if speed.flops_per_image is None:
        console.print("The generator was not trained here, so there is nothing in PyTorch to hold it against.")


def _cells(figure: Figure, flops_per_image: int | None) -> list[str]:
    cells = [f"{Spread.of(figure.bundle):,.0f}"]
    if flops_per_image is not None:
        ratio = figure.ratio()
        cells += [
            "" if figure.eager is None else f"{Spread.of(figure.eager):,.0f}",
            "" if ratio is None else f"{ratio:.2f}",
            f"{figure.peak_share(flops_per_image).median:.0%}",
        ]
    return cells
