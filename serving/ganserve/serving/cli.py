"""The command `ganserve serve`."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Annotated

from cyclopts import Parameter

from .config import ServingConfig
from .log_stream import LogStream
from .process import forbid_core_files, raise_file_limit
from .server import Server


def serve(config: Annotated[ServingConfig | None, Parameter(name="*")] = None) -> None:
    """Serve a folder of model bundles over gRPC.

    Every bundle is verified before it is served: digests, operators, signature, and its golden samples made again.
    SIGTERM and Ctrl-C let the calls under way finish.

    Example: ganserve serve --models models --listen 127.0.0.1:50051 --ready-file server.address
    """
    forbid_core_files()
    raise_file_limit()
    with LogStream(sys.stderr.fileno()) as log, asyncio.Runner(loop_factory=_new_event_loop) as runner:
        logging.basicConfig(stream=log, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
        runner.run(_serve(config or ServingConfig()))


async def _serve(config: ServingConfig) -> None:
    await Server(config).serve()


def _new_event_loop() -> asyncio.AbstractEventLoop:
    """One of uvloop, on which a call costs gRPC a fifth less; there is none for Windows."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
