"""Exports a tiny generator again and again into the folder given, and kills each export at a random moment.

    python killed_exports.py MODELS NUMBER

Stops when NUMBER were killed, or after four times as many, and prints how many were.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path

import torch
from torch import nn

from ganserve.contract.card import LATENT_SCHEME
from ganserve.exporter import ExportWarning, Target, export, pipeline
from ganserve.exporter.onnx_graph import to_onnx
from ganserve.training.networks import ImageShape, build_generator
from ganserve.v1.model_pb2 import ImageShape as CardImageShape
from ganserve.v1.model_pb2 import ModelCard

CARD = ModelCard(latent_dim=7, image=CardImageShape(height=12, width=10, channels=3), latent_scheme=LATENT_SCHEME)


def main(models: Path, number: int) -> None:
    warnings.simplefilter("ignore", ExportWarning)
    torch.set_num_threads(1)  # a forked process has no other threads
    generator = build_generator("dcgan", ImageShape(12, 10, 3), latent_dim=7, num_classes=0, base_width=4).eval()
    graph = to_onnx(generator, CARD)
    vars(pipeline)["to_onnx"] = lambda *_, **__: graph  # traced once: tracing writes nothing
    moments = random.Random(0)  # noqa: S311
    usual_s = min(timed(generator, models) for _ in range(3))
    num_killed = 0
    for _ in range(4 * number):
        num_killed += is_killed(generator, models, moments.uniform(0, usual_s))
        if num_killed == number:
            break
    print(num_killed)


def timed(generator: nn.Module, models: Path) -> float:
    """Seconds of an export that nobody kills."""
    start_s = time.monotonic()
    is_killed(generator, models, 60)
    return time.monotonic() - start_s


def is_killed(generator: nn.Module, models: Path, after_s: float) -> bool:
    """Exports in a process of its own and kills it after some seconds, if it has not ended."""
    pid = os.fork()
    if pid == 0:
        try:
            export(generator, CARD, Target(models=models, name="tiny", version=1, force=True))
            export(generator, CARD, Target(models=models, name="tiny"))
        except BaseException:  # noqa: BLE001 - nothing is below
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    deadline_s = time.monotonic() + after_s
    while time.monotonic() < deadline_s:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            assert status == 0
            return False
        time.sleep(0.0002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return True


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
