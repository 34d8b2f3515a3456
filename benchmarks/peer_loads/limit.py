"""The most images/s that the model gives in one process, without any server. Prints them as JSON.

    python -m peer_loads.limit MODEL.onnx SECONDS

One run after the other that has all cores, or as many runs at once as there are cores, each on one.
"""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from peer_servers.model import Model

BATCH_SIZE = 64


def measure(path: str, num_runs: int, num_threads: int, seconds: float) -> float:
    """Images/s of some runs at once, with some threads each."""
    models = [Model(path, num_threads=num_threads) for _ in range(num_runs)]
    latents = np.random.default_rng(0).standard_normal((BATCH_SIZE, models[0].latent_dim), np.float32)
    for model in models:
        model(latents)
    start_s = time.perf_counter()

    def run(model: Model) -> int:
        count = 0
        while time.perf_counter() < start_s + seconds:
            model(latents)
            count += BATCH_SIZE
        return count

    with ThreadPoolExecutor(num_runs) as threads:
        count = sum(threads.map(run, models))
    return count / (time.perf_counter() - start_s)


def main() -> None:
    _, path, seconds = sys.argv
    num_cores = len(os.sched_getaffinity(0))
    print(json.dumps([measure(path, *each, float(seconds)) for each in ((1, num_cores), (num_cores, 1))]))


if __name__ == "__main__":
    main()
