"""A server's life: startup → main loop → shutdown."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from ganserve.contract.errors import ConfigError
from ganserve.runtime.device import DeviceChoice, count_physical_cores
from ganserve.runtime.loader import LoadedModel
from ganserve.v1.model_pb2 import ModelState, Reproducibility

from .repository import Repository, find_bundles
from .service import SERVICE_NAME, GeneratorService

_log = logging.getLogger(__name__)

# Time for calls that were accepted just before the stop to reach the service.
_ACCEPTED_CALLS_S: Final = 0.1

_HOST_AND_PORT: Final = re.compile(r".+:\d{1,5}")

_SERVER_OPTIONS: Final = (
    # Without this a second server could share the port in silence.
    ("grpc.so_reuseport", 0),
)


@dataclass(frozen=True, kw_only=True)
class ServingConfig:
    """How to serve.

    Raises ConfigError for values that cannot be used.
    """

    models: Path
    """Folder of model bundles, `<name>/<version>/`."""

    listen: str = "127.0.0.1:50051"
    """Address to listen on, `host:port`. Port 0 takes a free one."""

    device: DeviceChoice = "auto"
    """What to run on. `auto` takes CUDA where the driver has a GPU."""

    lanes: int = field(default_factory=count_physical_cores)
    """Runs at once on a CPU. The default is one a physical core."""

    max_batch: int = 32
    """Most rows of one run."""

    max_queued_rows: int = 16_384
    """Most rows that wait or run, a model; beyond it requests are refused with RESOURCE_EXHAUSTED."""

    max_reply_mib: int = 512
    """Most MiB of replies under way at once."""

    grace_s: float = 30.0
    """After SIGTERM, seconds that calls under way may take to finish. A second signal ends them at once."""

    drain_delay_s: float = 0.0
    """After SIGTERM, seconds to go on serving while health already says NOT_SERVING."""

    def __post_init__(self) -> None:
        if not _HOST_AND_PORT.fullmatch(self.listen):
            raise ConfigError(f"--listen {self.listen}: give host:port, such as 127.0.0.1:50051; port 0 is a free one")
        for name in ("lanes", "max_batch", "max_queued_rows", "max_reply_mib"):
            if getattr(self, name) < 1:
                raise ConfigError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be at least 1")
        for name in ("grace_s", "drain_delay_s"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must not be negative")


class Server:
    """Serves the models of a folder until it is told to stop."""

    def __init__(self, config: ServingConfig) -> None:
        """Opens nothing yet. Raises ConfigError where the device cannot be used."""
        self.config = config
        self._stopping = asyncio.Event()
        self._hurrying = asyncio.Event()
        self._workers = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="worker")
        self._repository = Repository(
            device=config.device,
            num_lanes=config.lanes,
            max_batch=config.max_batch,
            max_queued_rows=config.max_queued_rows,
        )
        self._health = health.aio.HealthServicer()
        self._service = GeneratorService(
            self._repository, workers=self._workers, max_reply_bytes=config.max_reply_mib * 1024**2
        )
        self._grpc_server = grpc.aio.server(options=_SERVER_OPTIONS)

    async def serve(self) -> None:
        """Runs until SIGTERM, SIGINT or `stop`.

        Raises:
            ConfigError: the address or the device cannot be used.
            ArtifactError: a bundle cannot be served.
        """
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self.stop)
        try:
            await self._startup()
            await self._stopping.wait()
        finally:
            await self._shutdown()

    def stop(self) -> None:
        """Asks the server to stop gracefully; a second time, at once."""
        if self._stopping.is_set():
            self._hurrying.set()
        self._stopping.set()

    async def _startup(self) -> None:
        bundles = find_bundles(self.config.models)
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc_server)
        self._grpc_server.add_generic_rpc_handlers((self._service.rpc_handler(),))
        reflection.enable_server_reflection(
            (SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME), self._grpc_server
        )
        port = self._bind()
        await self._grpc_server.start()
        for folder in bundles:
            model = await self._repository.open(folder)
            _log.info("%s", _describe(model.loaded))
            if self._stopping.is_set():
                return
        self._service.state = ModelState.MODEL_STATE_SERVING
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)
        _log.info("serving on %s", f"{self.config.listen.rpartition(':')[0]}:{port}")

    async def _shutdown(self) -> None:
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        if self._service.state == ModelState.MODEL_STATE_SERVING:
            await self._drain()
        await self._grpc_server.stop(0)
        await self._repository.close()
        self._workers.shutdown()
        if self._service.state == ModelState.MODEL_STATE_DRAINING:
            _log.info("stopped")

    async def _drain(self) -> None:
        """Refuses new calls and lets those under way finish. Open health watches need not be waited for."""
        self._service.state = ModelState.MODEL_STATE_DRAINING
        _log.info("stopping: calls under way have %g s to finish", self.config.grace_s)
        await self._unless_hurried(asyncio.sleep(self.config.drain_delay_s))
        refusing = asyncio.create_task(self._grpc_server.stop(self.config.grace_s))
        await asyncio.sleep(_ACCEPTED_CALLS_S)
        await self._unless_hurried(self._service.finished(timeout_s=self.config.grace_s))
        await asyncio.gather(refusing, self._grpc_server.stop(0))

    async def _unless_hurried(self, work: Coroutine[Any, Any, Any]) -> None:
        tasks = [asyncio.create_task(work), asyncio.create_task(self._hurrying.wait())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()

    def _bind(self) -> int:
        try:
            return self._grpc_server.add_insecure_port(self.config.listen)
        except RuntimeError as error:
            raise ConfigError(
                f"--listen {self.config.listen}: the address cannot be used; the port may be taken, or the host is not "
                "this machine's. Take another port, or 0 for a free one"
            ) from error

    async def _set_health(self, status: int) -> None:
        for service in (health.OVERALL_HEALTH, SERVICE_NAME):
            await self._health.set(service, status)


def _describe(loaded: LoadedModel) -> str:
    engine, lanes = loaded.engine, loaded.engine.lanes
    rows_per_s = lanes.num_lanes * engine.max_batch / engine.cost_s(engine.max_batch)
    golden = "identical" if loaded.reproducibility == Reproducibility.REPRODUCIBILITY_IDENTICAL else "within one level"
    return (
        f"{loaded.identity.name}:{loaded.identity.version} on {lanes.device}, digest {loaded.identity.digest[:12]}, "
        f"golden samples {golden}, lanes {lanes.num_lanes}, {engine.cost_s(1) * 1e3:.2f} ms a single sample, "
        f"up to {rows_per_s:,.0f} images/s, loaded in {loaded.load_s:.1f} s"
    )
