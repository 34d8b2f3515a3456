"""The life of a server's models: loaded, swapped, unloaded.

A hot swap opens the new model beside the old one, moves the pointer, and drains the old one: a call uses the model that
it found to its end, and calls of several requests, which are pinned to a digest, find the old one for a while longer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.runtime.device import DeviceChoice
from ganserve.v1.generator_pb2 import ModelSelector
from ganserve.v1.model_pb2 import ModelState, ServedModel

from .bundles import check_inside, place_of, told_without_folder
from .catalogue import Aliases, Catalogue, Entry
from .metrics import Metrics
from .model import Model
from .opening import ModelOpener

LINGER_S: Final = 10.0


class Repository:
    """Models by name and version. Belongs to one event loop."""

    def __init__(
        self,
        *,
        device: DeviceChoice,
        num_lanes: int,
        max_batch: int,
        max_queued_rows: int,
        max_wait_s: float,
        linger_s: float = LINGER_S,
        metrics: Metrics | None = None,
    ) -> None:
        """Opens nothing yet. Raises ConfigError where the device cannot be used.

        Args:
            device: what models run on; `auto` goes on with the CPU where CUDA does not work.
            num_lanes: runs at once on a CPU.
            max_batch: most rows of one run.
            max_queued_rows: most rows of a model that wait or run.
            max_wait_s: most seconds that rows wait whose caller gives no deadline.
            linger_s: seconds for which a model that serves no more answers calls that are pinned to its digest.
            metrics: what is counted.
        """
        self._metrics = metrics or Metrics()
        self._opener = ModelOpener(
            device=device,
            num_lanes=num_lanes,
            max_batch=max_batch,
            max_queued_rows=max_queued_rows,
            max_wait_s=max_wait_s,
            metrics=self._metrics,
        )
        self._linger_s = linger_s
        self._catalogue = Catalogue()
        self._loading = asyncio.Lock()
        self._leaving: dict[Model, _Leaving] = {}
        self._changed = asyncio.Event()

    def __iter__(self) -> Iterator[Model]:
        """All models that serve, by name and version."""
        return (entry.model for entry in self._catalogue if entry.model is not None)

    @property
    def entries(self) -> Iterator[Entry]:
        """All versions, those that cannot be served included, by name and version."""
        return iter(self._catalogue)

    @property
    def aliases(self) -> Aliases:
        """What aliases point to; set as a whole."""
        return self._catalogue.aliases

    @aliases.setter
    def aliases(self, aliases: Aliases) -> None:
        self._catalogue.aliases = aliases

    @property
    def retired(self) -> tuple[Model, ...]:
        """Models that serve no more and are not freed yet."""
        return tuple(self._leaving)

    @property
    def is_loading(self) -> bool:
        """Whether a thread loads a model, also where nobody waits for it any more."""
        return self._opener.is_loading

    def entry(self, name: str, version: int) -> Entry | None:
        """A version, where there is one."""
        return self._catalogue.get(name, version)

    def aliases_of(self, name: str, version: int) -> list[str]:
        """The aliases that point to a version."""
        return self._catalogue.aliases_of(name, version)

    def resolve(self, selector: ModelSelector, *, field: str) -> Model:
        """The model that answers a selector; see `Catalogue.resolve`."""
        return self._catalogue.resolve(selector, field=field)

    def describe(self, model: Model, server: ModelState.ValueType) -> ServedModel:
        """What clients are told of a model by a server in such a state."""
        entry = self._catalogue.get(model.identity.name, model.identity.version)
        if entry is None or entry.model is not model:
            return model.describe(ModelState.MODEL_STATE_DRAINING, reason="it was replaced or unloaded")
        return entry.describe(server, self.aliases_of(entry.name, entry.version))

    def describe_all(self, server: ModelState.ValueType) -> list[ServedModel]:
        """The same of all versions, by name and version, those that cannot be served included."""
        return [entry.describe(server, self.aliases_of(entry.name, entry.version)) for entry in self._catalogue]

    async def open(self, folder: Path, *, beside_serving: bool = False) -> Model:
        """Verifies, loads and warms up the bundle in `folder`, and has it serve in place of the one before, if any.

        One bundle at a time. Where it is refused, what served before goes on, and its entry tells the reason.

        Args:
            folder: `…/<name>/<version>`.
            beside_serving: whether callers must not notice, for which it takes longer.

        Raises:
            ArtifactError: the bundle cannot be served.
            ConfigError: the device cannot be used.
        """
        name, version = place_of(folder)
        async with self._loading:
            entry = self._catalogue.add(name, version)
            entry.is_loading = True
            try:
                check_inside(folder)
                model = await self._opener.open(folder, beside_serving=beside_serving)
            except (ArtifactError, ConfigError) as error:
                self._end_load(entry, refusal=told_without_folder(str(error), folder.parent.parent))
                raise
            except BaseException:
                self._end_load(entry, refusal=entry.refusal)
                raise
            former, entry.model = entry.model, model
            self._end_load(entry, refusal="")
        if former is not None:
            self._part_with(former)
        return model

    def refuse(self, folder: Path, reason: str) -> bool:
        """Tells from now on why the bundle in a folder is not loaded; returns whether that is new."""
        name, version = place_of(folder)
        entry = self._catalogue.add(name, version)
        if entry.refusal == reason:
            return False
        self._metrics.model_loads.child(name, "failed").add()
        self._end_load(entry, refusal=reason)
        return True

    async def unload(self, name: str, version: int) -> None:
        """Takes no more requests for a version, if it is there, and frees it when what it has is done."""
        async with self._loading:
            entry = self._catalogue.get(name, version)
            if entry is None:
                return
            self._forget(entry)
            self._notify()
        if entry.model is not None:
            self._part_with(entry.model)

    async def freed(self) -> None:
        """Waits until the models that serve no more are done with their calls and freed."""
        await asyncio.gather(*(leaving.task for leaving in self._leaving.values()))

    async def close(self) -> None:
        """Takes no more requests, waits until those under way are done, and frees all models and the lanes."""
        for leaving in self._leaving.values():
            leaving.hurry.set()
        models = list(self)
        for entry in list(self._catalogue):
            self._forget(entry)
        await asyncio.gather(*(model.drain() for model in models), self.freed())
        await self._opener.close()

    async def changed_within(self, wait_s: float) -> None:
        """Waits until some model changes its state, but no longer than that."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), wait_s)

    def _end_load(self, entry: Entry, *, refusal: str) -> None:
        entry.is_loading, entry.refusal = False, refusal
        if entry.model is None:
            if refusal:
                self._metrics.model_serving.show(float, entry.name, str(entry.version))
            else:
                self._forget(entry)
        self._notify()

    def _forget(self, entry: Entry) -> None:
        self._catalogue.remove(entry)
        if entry.model is None:
            self._metrics.model_serving.drop(entry.name, str(entry.version))

    def _part_with(self, model: Model) -> None:
        """Has a model leave. Of each version, one lingers at a time."""
        for other, leaving in self._leaving.items():
            if other.title == model.title:
                leaving.hurry.set()
        hurry = asyncio.Event()
        self._catalogue.retired.append(model)  # at once: between two turns of the loop calls may ask for it
        self._leaving[model] = _Leaving(hurry, asyncio.create_task(self._linger_and_drain(model, hurry)))

    async def _linger_and_drain(self, model: Model, hurry: asyncio.Event) -> None:
        ends = [asyncio.create_task(end) for end in (hurry.wait(), self._without_streams(model))]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        self._catalogue.retired.remove(model)
        await model.drain()
        del self._leaving[model]

    async def _without_streams(self, model: Model) -> None:
        """Waits until a model has had no stream for a while: one whose connection has aged comes back on another."""
        replaced_s = time.monotonic()
        while True:
            await model.streaming.ended()
            left_s = max(replaced_s, model.streaming.ended_s) + self._linger_s - time.monotonic()
            if left_s <= 0:
                return
            await asyncio.sleep(left_s)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class _Leaving(NamedTuple):
    """A model that serves no more: what ends its lingering, and the task that sees it off."""

    hurry: asyncio.Event
    task: asyncio.Task[None]
