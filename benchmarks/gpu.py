"""A generator on CUDA: the server's engine beside the plain CUDA provider, PyTorch eager and torch.compile.

    python benchmarks/gpu.py models/mnist/1
    python benchmarks/gpu.py models/mnist/1 --batch-size 1 --batch-size 256 --rounds 9 --json

All end in uint8 images in the host's memory, and take turns. The engine has IO binding and a CUDA graph for each batch
size; the plain provider is `session.run` with numpy arrays. `rewrites for a CPU` are what an export in fp32 has, the
plain graph is what PyTorch exports. No TF32 anywhere. Ratios are over PyTorch eager in fp32.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import onnxruntime
import torch
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from command import run
from ganserve.contract.bundle import (
    IMAGES_OUTPUT,
    MODEL_FILE,
    Dtype,
    golden_rows,
    read_verified,
)
from ganserve.contract.errors import ConfigError
from ganserve.contract.manifest import read_manifest
from ganserve.exporter.benchmark import Spread
from ganserve.exporter.benchmark.contestants import Bundle, Contestant, PyTorch, fresh_generator
from ganserve.exporter.benchmark.turns import in_turns
from ganserve.exporter.onnx_graph import to_onnx
from ganserve.flags import Rounds, Seconds, within
from ganserve.runtime.device import choose_device
from ganserve.runtime.lanes import BATCH_ROWS
from ganserve.runtime.onnx_file import read_card
from ganserve.v1.model_pb2 import ModelCard

DTYPES: tuple[Dtype, ...] = ("fp32", "fp16")
EAGER = "PyTorch eager, fp32"


class PlainSession:
    """`session.run` on the CUDA provider, from numpy to numpy."""

    def __init__(self, model: bytes, card: ModelCard, *, batch_size: int, prefer_nhwc: bool) -> None:
        onnxruntime.preload_dlls()
        options = {"use_tf32": "0", "prefer_nhwc": str(int(prefer_nhwc))}
        self._session = onnxruntime.InferenceSession(model, providers=[("CUDAExecutionProvider", options)])
        self._inputs = golden_rows(card, 0, batch_size).columns

    def make(self, num_batches: int) -> None:
        for _ in range(num_batches):
            self._session.run([IMAGES_OUTPUT], self._inputs)


def main(
    bundle: Path,
    *,
    batch_size: Annotated[tuple[int, ...], within(BATCH_ROWS)] = (1, 8, 64, 256),
    rounds: Rounds = 7,
    seconds: Seconds = 0.3,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Measure a bundle's generator on CUDA, with fresh weights.

    Parameters
    ----------
    bundle
        Folder of a bundle that was trained here.
    batch_size
        Images a run; may be given several times.
    rounds
        Turns of each.
    seconds
        Length of a turn.
    as_json
        Print one JSON object in place of tables.
    """
    choose_device("cuda")
    card = read_card(read_verified(bundle, MODEL_FILE, read_manifest(bundle)), source=str(bundle))
    found: dict[int, dict[str, list[float]]] = {}
    for rows in batch_size:
        with contestants(card, rows) as named:
            rates = in_turns(list(named.values()), rounds, seconds)
        found[rows] = {name: [rate * rows for rate in of_one] for name, of_one in zip(named, rates, strict=True)}
    if as_json:
        versions: dict[str, Any] = {"gpu": torch.cuda.get_device_name(), "onnxruntime": onnxruntime.__version__}
        print(json.dumps({**versions, "torch": torch.__version__, "images_per_s": found}))
    else:
        print_tables(found)


@contextmanager
def contestants(card: ModelCard, rows: int) -> Iterator[dict[str, Contestant]]:
    """All of them by name, for batches of `rows` images."""
    generator = fresh_generator(card)
    if generator is None:
        raise ConfigError(f"{card.architecture} was not trained here; PyTorch cannot run it")
    engines: dict[str, Bundle] = {}
    named: dict[str, Contestant] = {}
    try:
        for dtype in DTYPES:
            plain = to_onnx(generator, card, dtype=dtype, device="cuda").model
            graphs = {"plain graph": plain}
            if dtype == "fp32":
                graphs["rewrites for a CPU"] = to_onnx(generator, card, dtype=dtype, device="cpu").model
            for graph, model in graphs.items():
                engine = Bundle(model, card, device="cuda", num_lanes=1, batch_size=rows)
                engines[f"engine, {graph}, {dtype}"] = engine
            for layout, prefer_nhwc in {"NCHW": False, "NHWC": True}.items():
                session = PlainSession(plain, card, batch_size=rows, prefer_nhwc=prefer_nhwc)
                named[f"CUDA provider, {layout}, {dtype}"] = session
            for mode, compiled in {"eager": False, "compiled": True}.items():
                named[f"PyTorch {mode}, {dtype}"] = PyTorch(
                    generator, card, dtype=dtype, device="cuda", num_threads=1, batch_size=rows, compiled=compiled
                )
        yield {**engines, **named}
    finally:
        for engine in engines.values():
            engine.close()


def print_tables(found: Mapping[int, Mapping[str, list[float]]]) -> None:
    """One table a batch size."""
    console = Console()
    console.print(
        f"{torch.cuda.get_device_name()}, ONNX Runtime {onnxruntime.__version__}, PyTorch {torch.__version__}"
    )
    for rows, rates in found.items():
        table = Table(title=f"batches of {rows}", box=None, pad_edge=False, header_style="bold", title_justify="left")
        table.add_column("")
        table.add_column("images/s", justify="right")
        table.add_column("over eager", justify="right")
        for name, values in rates.items():
            ratio = Spread.of_ratios(values, rates[EAGER])
            table.add_row(name, f"{statistics.median(values):,.0f}", f"{ratio:.2f}")
        console.print(table)


if __name__ == "__main__":
    run(main)
