"""Chains of models on CUDA beside the CPU: whether they choose the same samples, and how long each takes.

    python benchmarks/chains.py --models models --name cifar10 --scorer cifar10-classifier --then sr2x

Both devices answer the same requests, in turns. The best of several candidates is another one where two of them have
nearly the same score, since a GPU adds up in another order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime
from rich.console import Console
from rich.table import Table

from command import run
from ganserve.client import LocalGenerator, Samples
from ganserve.flags import Count, Rounds
from ganserve.runtime.device import choose_device

DEVICES: tuple[Literal["cpu", "cuda"], ...] = ("cpu", "cuda")
SEED = 1


def main(
    *,
    models: Path,
    name: str,
    scorer: str,
    then: str,
    candidates: Count = 4,
    num_images: Count = 256,
    rounds: Rounds = 5,
) -> None:
    """Compare chains on CUDA and on the CPU.

    Parameters
    ----------
    models
        Folder of bundles.
    name
        The generator's.
    scorer
        What chooses.
    then
        What translates the chosen images.
    candidates
        Candidates a sample.
    num_images
        Samples a request.
    rounds
        Turns of each.
    """
    choose_device("cuda")
    sources, scorers = (
        [LocalGenerator(models / each / "1", device=device) for device in DEVICES] for each in (name, scorer)
    )
    chains: dict[str, dict[str, Any]] = {
        "samples": {},
        f"the best of {candidates}": {"best_of": candidates, "scorer": scorer},
        "translated": {"then": then},
        f"the best of {candidates}, translated": {"best_of": candidates, "scorer": scorer, "then": then},
    }
    table = Table("", "CPU, ms", "CUDA, ms", "ratio", "same index", "same level", "largest difference", box=None)
    for title, chain in chains.items():
        requests = [partial(source.generate, num_images, seed=SEED, **chain) for source in sources]
        on_cpu, on_cuda = (request() for request in requests)
        table.add_row(title, *times(requests, rounds), *difference(on_cpu, on_cuda))
    images = sources[0].generate(num_images, seed=SEED).numpy()
    judgements = [partial(source.score, images) for source in scorers]
    numbers = np.array([judgement().score for judgement in judgements])
    table.add_row("scores", *times(judgements, rounds), "", "", f"{np.ptp(numbers, axis=0).max():.1e}")
    Console(width=140).print(f"ONNX Runtime {onnxruntime.__version__}, requests of {num_images} images", table)


def times(requests: Sequence[Callable[[], object]], rounds: int) -> list[str]:
    """Median milliseconds of each, and the median ratio of the first to the second."""
    took_ms = np.array([[took(request) for request in requests] for _ in range(rounds)]) * 1e3
    return [
        *(f"{column:.1f}" for column in np.median(took_ms, axis=0)),
        f"{np.median(took_ms[:, 0] / took_ms[:, 1]):.1f}",
    ]


def took(request: Callable[[], object]) -> float:
    began_s = time.monotonic()
    request()
    return time.monotonic() - began_s


def difference(one: Samples, other: Samples) -> list[str]:
    """Shares of samples at the same index and of equal levels among those, and their largest difference."""
    is_same = one.indices == other.indices
    distance = np.abs(one.numpy()[is_same].astype(int) - other.numpy()[is_same])
    return [f"{is_same.mean():.1%}", f"{(distance == 0).mean():.3%}", str(distance.max())]


if __name__ == "__main__":
    run(main)
