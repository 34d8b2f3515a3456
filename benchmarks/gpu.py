"""A bundle on CUDA: the server's engine beside the plain CUDA provider, PyTorch eager and torch.compile.

    python benchmarks/gpu.py models/mnist/1
    python benchmarks/gpu.py models/mnist/1 --batch-size 1 --batch-size 256 --rounds 9 --json

All end in uint8 images in the host's memory, and take turns. The engine has IO binding and a CUDA graph for each batch
size; the plain provider is `session.run` with numpy arrays. No TF32 anywhere. Ratios are over PyTorch eager.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import cyclopts
import onnxruntime
import torch
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from ganserve.contract.bundle import (
    IMAGES_OUTPUT,
    MODEL_FILE,
    Dtype,
    golden_inputs,
    onnx_inputs,
    read_manifest,
    read_verified,
)
from ganserve.exporter.benchmark.contestants import fresh_generator
from ganserve.exporter.onnx_graph import PixelGenerator
from ganserve.serving.device import choose_device
from ganserve.serving.engine import Engine
from ganserve.serving.onnx_file import read_card
from ganserve.training.device import allow_tf32
from ganserve.v1.model_pb2 import ModelCard

Make = Callable[[], Any]
PLAIN_PROVIDERS = {
    "plain CUDA provider": {"use_tf32": "0"},
    "plain CUDA provider, NHWC": {"use_tf32": "0", "prefer_nhwc": "1"},
}
EAGER = "PyTorch eager, channels last"


def main(
    bundle: Path,
    *,
    batch_size: Annotated[tuple[int, ...], Parameter(negative="")] = (1, 8, 64, 256),
    rounds: int = 7,
    seconds: float = 0.3,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Measure a bundle on CUDA.

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
    allow_tf32(False)
    model = read_verified(bundle, MODEL_FILE, read_manifest(bundle))
    card = read_card(model, source=str(bundle))
    found = {}
    for rows in batch_size:
        makers = contestants(model, card, rows)
        found[rows] = {
            name: [rate * rows for rate in rates] for name, rates in in_turns(makers, rounds, seconds).items()
        }
    if as_json:
        print(
            json.dumps(
                {"gpu": torch.cuda.get_device_name(), "onnxruntime": onnxruntime.__version__, "images_per_s": found}
            )
        )
    else:
        print_tables(found)


def contestants(model: bytes, card: ModelCard, rows: int) -> dict[str, Make]:
    """Each makes one batch of `rows` images as a numpy array when called."""
    latents, labels = golden_inputs(card, 0, rows)
    inputs = onnx_inputs(latents, labels)
    engine = Engine(model, card, device="cuda", num_lanes=1, max_batch=rows)
    onnxruntime.preload_dlls()
    makers: dict[str, Make] = {"engine": lambda: engine.lanes.submit(engine.run, latents, labels).result()}
    for name, options in PLAIN_PROVIDERS.items():
        session = onnxruntime.InferenceSession(model, providers=[("CUDAExecutionProvider", options)])
        makers[name] = partial(session.run, [IMAGES_OUTPUT], inputs)
    generator = fresh_generator(card)
    if generator is None:
        raise SystemExit(f"{card.architecture} was not trained here; PyTorch cannot run it")
    dtypes: tuple[Dtype, ...] = ("fp32", "fp16")
    for dtype in dtypes:
        pixels = PixelGenerator(generator, dtype).eval()
        pixels = pixels.to("cuda", memory_format=torch.channels_last)  # type: ignore[call-overload]
        suffix = "" if dtype == "fp32" else ", fp16"
        makers[EAGER + suffix] = in_pytorch(pixels, inputs)
        makers["torch.compile" + suffix] = in_pytorch(torch.compile(pixels, mode="reduce-overhead"), inputs)
    return makers


def in_pytorch(pixels: Callable[..., Any], inputs: Mapping[str, Any]) -> Make:
    """Runs a generator in inference mode, from numpy to numpy."""
    tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}

    def make() -> Any:
        with torch.inference_mode():
            images, _ = pixels(**{name: tensor.to("cuda") for name, tensor in tensors.items()})
            return images.cpu().numpy()

    return make


def in_turns(makers: Mapping[str, Make], num_rounds: int, turn_s: float) -> dict[str, list[float]]:
    """Batches/s of each, one value a round, in turns."""
    for make in makers.values():
        for _ in range(5):
            make()
    rates: dict[str, list[float]] = {name: [] for name in makers}
    for number in range(num_rounds):
        for name in makers if number % 2 == 0 else reversed(list(makers)):
            rates[name].append(batches_per_s(makers[name], turn_s))
    return rates


def batches_per_s(make: Make, turn_s: float) -> float:
    """How many batches a second it makes, over a turn."""
    num_done, start_s = 0, time.perf_counter()
    while (elapsed_s := time.perf_counter() - start_s) < turn_s:
        make()
        num_done += 1
    return num_done / elapsed_s


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
            ratios = [value / eager for value, eager in zip(values, rates[EAGER], strict=True)]
            ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            table.add_row(name, f"{statistics.median(values):,.0f}", ratio)
        console.print(table)


if __name__ == "__main__":
    cyclopts.run(main)
