"""The command `ganserve serve`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Group, Parameter

from .config import ServingConfig
from .log_lines import LINES, is_worth_a_line
from .log_stream import LogStream
from .process import forbid_core_files, raise_file_limit
from .server import Server
from .setting_sources import SettingSources
from .settings_file import write_settings

_STDERR: Final = 2
_SOURCES = SettingSources()
_WHERE_FROM = Parameter(group=Group("Where settings come from", sort_key=-1))

app = App(name="serve", config=_SOURCES, version_flags=[])


@app.default
def serve(
    settings: Annotated[ServingConfig | None, Parameter(name="*")] = None,
    *,
    config: Annotated[Path | None, _WHERE_FROM] = None,  # noqa: ARG001 - the sources have read it
    print_config: Annotated[bool, _WHERE_FROM, Parameter(negative=())] = False,
) -> None:
    """Serve a folder of model bundles over gRPC.

    Every bundle is verified before it is served: digests, operators, signature, and its golden samples made again.
    SIGTERM and Ctrl-C let the calls under way finish.

    Example: ganserve serve --models models --listen 127.0.0.1:50051 --ready-file server.address

    Parameters
    ----------
    config
        TOML file of settings: one line each, such as `max_batch = 16`. Flags win over environment variables such as
        GANSERVE_SERVE_MAX_BATCH, and these over the file.
    print_config
        Show the settings as such a file, with where each comes from, and serve nothing.
    """
    with _SOURCES.named():
        settings = settings or ServingConfig()
        if print_config:
            sys.stdout.write(write_settings(_SOURCES.effective(settings)))
            return
        forbid_core_files()
        raise_file_limit()
        with LogStream(_STDERR) as log, asyncio.Runner(loop_factory=_new_event_loop) as runner:
            _write_log(log, settings)
            runner.run(_serve(settings, log))


async def _serve(config: ServingConfig, log: LogStream) -> None:
    server = Server(config)
    await server.serve()
    if server.is_loading:  # in a thread that Python would wait for, perhaps for minutes
        log.close()
        os._exit(0)


def _write_log(log: LogStream, config: ServingConfig) -> None:
    """Has all that is logged written there, the warnings of Python included."""
    handler = logging.StreamHandler(log)
    handler.setFormatter(LINES[config.log_format]())
    handler.addFilter(is_worth_a_line)
    logging.basicConfig(handlers=[handler], level=config.log_level.upper())
    logging.captureWarnings(True)


def _new_event_loop() -> asyncio.AbstractEventLoop:
    """One of uvloop, on which a call costs gRPC a fifth less; there is none for Windows."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
