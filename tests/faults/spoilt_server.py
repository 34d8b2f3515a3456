"""`ganserve` with something wrong inside, for as long as a file is there: python spoilt_server.py KIND FILE serve …

KIND is one of these:

    leaking    keeps every reply for ever
    failing    fails in every run of a model
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ganserve import cli
from ganserve.runtime.runners import CpuRunner
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


SPOILERS: dict[str, Callable[[Path], None]] = {"leaking": leak, "failing": fail}

if __name__ == "__main__":
    SPOILERS[sys.argv[1]](Path(sys.argv[2]))
    sys.exit(cli.main(sys.argv[3:]))
