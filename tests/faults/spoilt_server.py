"""`ganserve` with something wrong inside, for as long as a file is there: python spoilt_server.py KIND FILE serve …

KIND is one of these:

    leaking    keeps every reply for ever
    failing    fails in every run of a model
    stalling   loads no model to its end
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ganserve import cli
from ganserve.runtime import loader
from ganserve.runtime.runners import CpuRunner
from ganserve.serving import opening
from ganserve.serving.service import GeneratorService


def leak(file: Path) -> None:
    generate, kept = GeneratorService.generate, []

    async def generate_and_keep(self: GeneratorService, request: Any, context: Any) -> bytes:
        reply = await generate(self, request, context)
        if file.exists():  # noqa: ASYNC240 - it takes no time, in memory
            kept.append(bytearray(reply))
        return reply

    GeneratorService.generate = generate_and_keep  # type: ignore[method-assign]


def fail(file: Path) -> None:
    run = CpuRunner.run

    def run_or_fail(self: CpuRunner, rows: Any) -> Any:
        if file.exists():
            raise RuntimeError("the device is gone")
        return run(self, rows)

    CpuRunner.run = run_or_fail  # type: ignore[method-assign]


def stall(file: Path) -> None:
    load = loader.load_model

    def load_or_stall(folder: Path, **settings: Any) -> Any:
        if file.exists():
            print("loading without end", file=sys.stderr, flush=True)
            time.sleep(3600)
        return load(folder, **settings)

    opening.load_model = load_or_stall  # type: ignore[attr-defined]


SPOILERS: dict[str, Callable[[Path], None]] = {"leaking": leak, "failing": fail, "stalling": stall}

if __name__ == "__main__":
    SPOILERS[sys.argv[1]](Path(sys.argv[2]))
    sys.exit(cli.main(sys.argv[3:]))
