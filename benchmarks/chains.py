"""Chains of models on CUDA beside the CPU: how far their results differ, and how long each takes.

    python benchmarks/chains.py --models models --name cifar10 --scorer cifar10-classifier --then sr2x

Both devices answer the same requests, in turns. `best_of` is left out: on CUDA it is refused where images or scores
depend on the batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from command import run
from ganserve.client import LocalGenerator
from ganserve.contract.images import Images
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
        What scores the generator's images.
    then
        What translates the generator's images.
    num_images
        Samples a request.
    rounds
        Turns of each.
    """
    choose_device("cuda")
    sources, scorers = (
        [LocalGenerator(models / each / "1", device=device) for device in DEVICES] for each in (name, scorer)
    )
    images = pixels(sources[0], num_images)
    requests: dict[str, list[Callable[[], NDArray[Any]]]] = {
        "samples": [partial(pixels, source, num_images) for source in sources],
        "translated": [partial(pixels, source, num_images, then=then) for source in sources],
        "scores": [partial(scores, each, images) for each in scorers],
    }
    table = Table("", "CPU, ms", "CUDA, ms", "ratio", "values that differ", "largest difference", box=None)
    for title, of_devices in requests.items():
        table.add_row(title, *times(of_devices, rounds), *difference(*(request() for request in of_devices)))
    Console(width=140).print(f"ONNX Runtime {onnxruntime.__version__}, requests of {num_images} images", table)


def pixels(source: LocalGenerator, num_images: int, **chain: Any) -> Images:
    return source.generate(num_images, seed=SEED, **chain).numpy()


def scores(scorer: LocalGenerator, images: Images) -> NDArray[np.float32]:
    return scorer.score(images).score


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


def difference(one: NDArray[Any], other: NDArray[Any]) -> list[str]:
    """The share of values that differ, and by how much at most."""
    distance = np.abs(one.astype(float) - other)
    return [f"{(distance > 0).mean():.1e}", f"{distance.max():.1e}"]


if __name__ == "__main__":
    run(main)
