"""A server's life: startup → main loop → shutdown."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.v1.model_pb2 import ModelState

from .access import Access
from .admin_service import ModelAdminService
from .administration import Administration
from .answers import Answers
from .bundles import PLACE, advise_import, find_bundles, find_misnamed, find_strays, list_bundles
from .call_gate import CallGate
from .call_log import CallLog
from .call_traces import CallTraces
from .certificates import Certificates
from .config import ServingConfig
from .connections import connection_options
from .counted_call import CallObserver
from .endpoint import Endpoint, Service
from .folder_watch import FolderWatch
from .health import Health
from .http_port import HttpPort
from .listening import check_exposure, is_loopback
from .loop_lag import measure_lag
from .metrics import Metrics
from .model_watch import ModelWatch
from .open_inference.service import OpenInferenceService
from .ready_file import ReadyFile
from .repository import Repository
from .service import GeneratorService

_log = logging.getLogger(__name__)


class Server:
    """Serves the models of a folder until it is told to stop."""

    def __init__(self, config: ServingConfig) -> None:
        """Opens nothing yet.

        Raises ConfigError where the device, the ready file, certificates or tokens cannot be used, and where other
        machines would be answered in plaintext.
        """
        self.config = config
        _check_exposure(config)
        self._metrics = Metrics()
        refusals = self._metrics.refusals.child("quota")
        access = None if config.tokens is None else Access(config.tokens, refusals=refusals)
        self._traces = None if config.otlp_endpoint is None else CallTraces(config.otlp_endpoint)
        observers = _observers(config, self._traces)
        self._ready_file = None if config.ready_file is None else ReadyFile(config.ready_file)
        self._stopping = asyncio.Event()
        self._hurrying = asyncio.Event()
        self._workers = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="worker")
        self._repository = Repository(
            device=config.device,
            num_lanes=config.lanes,
            max_batch=config.max_batch,
            max_queued_rows=config.max_queued_rows,
            max_wait_s=config.max_wait_s,
            linger_s=config.linger_s,
            metrics=self._metrics,
        )
        self._administration = Administration(self._repository, config.models)
        self._folder_watch = FolderWatch(self._administration, self._repository, config.models)
        health = Health()
        names = (GeneratorService.name, OpenInferenceService.name)
        self._gate = CallGate(
            *names,
            max_calls=config.max_calls,
            stall_s=config.stall_s,
            access=access,
            metrics=self._metrics,
            observers=observers,
        )
        self._watch = ModelWatch(self._repository, health, *names)
        self._answers = Answers(
            self._repository,
            workers=self._workers,
            max_reply_bytes=config.max_reply_mib * 1024**2,
            check_model=self._watch.check,
            metrics=self._metrics,
            make_room=self._gate.slow_readers.make_room,
        )
        allowed = self._administration if config.allow_admin else None
        services: list[Service] = [GeneratorService(self._answers), OpenInferenceService(self._answers, allowed)]
        if allowed is not None:
            services.append(ModelAdminService(allowed))
        if config.channelz:
            from .channelz import Channelz

            services.append(Channelz())
        self._endpoint = Endpoint(
            config.listen,
            self._gate,
            services,
            health,
            certificates=_open_certificates(config),
            options=connection_options(config),
        )
        self._http = HttpPort(
            config.http,
            self._answers,
            self._metrics,
            health,
            lambda: self._endpoint.url,
            certificates=_open_certificates(config),
            access=access,
            observers=observers,
            max_calls=config.max_calls,
            stall_s=config.stall_s,
        )

    async def serve(self) -> None:
        """Runs until SIGTERM, SIGINT, SIGHUP or `stop`.

        Raises:
            ConfigError: the address or the device cannot be used.
            ArtifactError: no bundle can be served, or with `strict` one cannot; the aliases cannot be read, or the
                ready file not be written.
        """
        loop = asyncio.get_running_loop()
        for signum in _stop_signals():
            loop.add_signal_handler(signum, self.stop)
        try:
            await self._until(self._stopping, self._startup())
            if not self._stopping.is_set():
                await self._main_loop()
        finally:
            await self._shutdown()

    @property
    def is_loading(self) -> bool:
        """Whether a thread still loads a model, which nothing can end."""
        return self._repository.is_loading

    def stop(self) -> None:
        """Asks the server to stop gracefully; a second time, at once."""
        if self._stopping.is_set():
            self._hurrying.set()
        self._stopping.set()

    async def _startup(self) -> None:
        may_come_later = self.config.watch is not None or self.config.allow_admin
        if self.config.watch is not None:
            await self._folder_watch.begin()  # before the folder is read, so that nothing comes unseen
        bundles = (list_bundles if may_come_later else find_bundles)(self.config.models)
        _warn_of_others(self.config.models)
        await self._administration.read_aliases(strict=self.config.strict)
        await self._endpoint.open()
        await self._http.open()
        await self._load(bundles, may_come_later=may_come_later)
        self._answers.state = ModelState.MODEL_STATE_SERVING
        self._watch.start()
        if self._ready_file is not None:
            self._ready_file.write(self._endpoint.url)
        _log.info("serving on %s", self._endpoint.url)

    async def _load(self, bundles: list[Path], *, may_come_later: bool) -> None:
        """Loads bundles. Raises ArtifactError or ConfigError where one cannot be served that has to be."""
        refusals: list[ArtifactError] = []
        for bundle in bundles:
            try:
                await self._administration.load_bundle(bundle, beside_serving=False)
            except ArtifactError as error:
                if self.config.strict:
                    raise
                refusals.append(error)
        if refusals and len(refusals) == len(bundles) and not may_come_later:
            raise refusals[0]

    async def _main_loop(self) -> None:
        lag = measure_lag(self._metrics.loop_lag_s)
        work = [self._stopping.wait(), self._endpoint.keep_open(), self._watch.run(), lag]
        if self.config.watch is not None:
            work.append(self._folder_watch.run(every_s=self.config.watch))
        tasks = [asyncio.create_task(part) for part in work]
        done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for task in done:
            task.result()

    async def _shutdown(self) -> None:
        self._watch.stop()
        if self._ready_file is not None:
            self._ready_file.remove()
        if self._answers.state == ModelState.MODEL_STATE_SERVING:
            self._answers.state = ModelState.MODEL_STATE_DRAINING
            _log.info("stopping: calls under way have %g s to finish", self.config.grace_s)
            await self._until(self._hurrying, asyncio.sleep(self.config.drain_delay_s))
        await self._endpoint.refuse(grace_s=self.config.grace_s)
        self._http.refuse()
        await self._until(self._hurrying, self._emptied(timeout_s=self.config.grace_s))
        await self._endpoint.cut()
        await self._http.close()
        await self._administration.close()
        await self._repository.close()
        self._workers.shutdown()
        if self._traces is not None:
            await asyncio.to_thread(self._traces.close)
        if self._answers.state == ModelState.MODEL_STATE_DRAINING:
            _log.info("stopped")

    async def _emptied(self, *, timeout_s: float) -> None:
        await asyncio.gather(self._gate.emptied(timeout_s=timeout_s), self._http.emptied(timeout_s=timeout_s))

    async def _until(self, event: asyncio.Event, work: Coroutine[Any, Any, Any]) -> None:
        """Does work to its end, or until an event. Raises what the work does."""
        working, waiting = asyncio.create_task(work), asyncio.create_task(event.wait())
        await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not working.done():
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
        else:
            working.result()


def _observers(config: ServingConfig, traces: CallTraces | None) -> list[CallObserver]:
    """Who is told of calls that have ended."""
    observers: list[CallObserver] = [] if traces is None else [traces]
    if config.log_calls != "none":
        observers.append(CallLog(every_call=config.log_calls == "all"))
    return observers


def _stop_signals() -> list[signal.Signals]:
    """Those that ask for an end. SIGHUP, of a terminal that is gone, counts unless `nohup` has it ignored."""
    stopping = [signal.SIGTERM, signal.SIGINT]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        stopping.append(signal.SIGHUP)
    return stopping


def _warn_of_others(models_dir: Path) -> None:
    """Says what lies in the folder of models that might be meant to be served, and is not."""
    for stray in find_strays(models_dir):
        _log.warning("not served: %s", advise_import(stray, models_dir))
    for folder in find_misnamed(models_dir):
        _log.warning("not served: %s, which is no NAME/VERSION; %s", folder, PLACE)


def _check_exposure(config: ServingConfig) -> None:
    """Raises ConfigError where other machines would be answered in plaintext, or could change what is served."""
    if config.tls_cert is None and not config.plaintext:
        check_exposure(config.listen, flag="--listen")
        if config.http is not None:
            check_exposure(config.http, flag="--http")
    is_open = config.tokens is None and config.client_ca is None
    for flag, is_given, harm in (
        ("--allow-admin", config.allow_admin, "change what is served"),
        ("--channelz", config.channelz, "see who is connected"),
    ):
        if is_given and is_open and not is_loopback(config.listen, flag="--listen"):
            raise ConfigError(
                f"{flag}: other machines can reach --listen {config.listen}, and anybody there could {harm}; "
                "give --tokens or --client-ca too"
            )


def _open_certificates(config: ServingConfig) -> Certificates | None:
    """What one port speaks TLS with; None where it does without. Raises ConfigError."""
    if config.tls_cert is None or config.tls_key is None:
        return None
    return Certificates(config.tls_cert, config.tls_key, config.client_ca)
