"""The models of a server: their life, and the table of names and versions that they are looked up in.

Names are looked up in memory, never joined into a path. A hot swap goes here: `open` the new version, `resolve` it, and
`retire` the old one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from ganserve.contract.card import image_shape
from ganserve.contract.errors import ConfigError, InvalidRequestError, NotFoundError, PreconditionError
from ganserve.contract.labels import list_names
from ganserve.runtime.device import Device, DeviceChoice, choose_device
from ganserve.runtime.lanes import Lanes
from ganserve.runtime.loader import LoadedModel, load_model
from ganserve.v1.generator_pb2 import ModelSelector
from ganserve.v1.model_pb2 import ModelCard, ModelIdentity, ModelState, ServedModel

from .batcher import Batcher
from .dispatcher import Dispatcher
from .limits import Limits
from .metrics import Metrics, ModelMetrics
from .model_facts import counted_load, show_model
from .statistics import Statistics

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, kw_only=True)
class Model:
    """A model that takes requests."""

    loaded: LoadedModel
    batcher: Batcher
    limits: Limits
    metrics: ModelMetrics
    in_use: InUse = field(default_factory=lambda: InUse())
    """Around every call that uses the model."""

    @property
    def identity(self) -> ModelIdentity:
        return self.loaded.identity

    @property
    def card(self) -> ModelCard:
        return self.loaded.card

    @property
    def statistics(self) -> Statistics:
        return self.batcher.statistics

    def describe(self, state: ModelState.ValueType) -> ServedModel:
        """What clients are told of it."""
        served = self.loaded.describe(state)
        served.max_samples_per_request = self.limits.samples_per_request
        return served


class InUse:
    """Counts the bodies that run in it at once."""

    def __init__(self) -> None:
        self._ended = asyncio.Event()
        self._ended.set()
        self._count = 0

    def __enter__(self) -> None:
        self._count += 1
        self._ended.clear()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._count -= 1
        if not self._count:
            self._ended.set()

    async def ended(self) -> None:
        """Waits until none runs."""
        await self._ended.wait()


class Repository:
    """Models by name and version: opened, looked up, retired. Belongs to one event loop."""

    def __init__(
        self,
        *,
        device: DeviceChoice,
        num_lanes: int,
        max_batch: int,
        max_queued_rows: int,
        max_wait_s: float,
        metrics: Metrics | None = None,
    ) -> None:
        """Opens nothing yet. Raises ConfigError where the device cannot be used.

        Args:
            device: what models run on; `auto` goes on with the CPU where CUDA does not work.
            num_lanes: runs at once on a CPU.
            max_batch: most rows of one run.
            max_queued_rows: most rows of a model that wait or run.
            max_wait_s: most seconds that rows wait whose caller gives no deadline.
            metrics: what is counted.
        """
        self._may_fall_back = device == "auto"
        self._device = choose_device(device)
        self._has_fallen_back = False
        self._num_lanes = num_lanes
        self._max_batch = max_batch
        self._max_queued_rows = max_queued_rows
        self._max_wait_s = max_wait_s
        self._metrics = metrics or Metrics()
        self._lanes: dict[Device, tuple[Lanes, Dispatcher]] = {}
        self._models: dict[str, dict[int, Model]] = {}

    def __iter__(self) -> Iterator[Model]:
        """All models, by name and version."""
        for _, versions in sorted(self._models.items()):
            for _, model in sorted(versions.items()):
                yield model

    async def open(self, folder: Path) -> Model:
        """Verifies, loads and warms up the bundle in `folder`, and takes requests for it from now on.

        Raises:
            ArtifactError: the bundle cannot be served.
            ConfigError: the device cannot be used.
        """
        lanes, dispatcher = self._lanes_of(self._device)
        try:
            with counted_load(self._metrics, folder):
                loaded = await asyncio.to_thread(load_model, folder, lanes=lanes, max_batch=self._max_batch)
        except ConfigError as error:
            if not self._may_fall_back or self._device == "cpu":
                raise
            _log.warning("%s; going on with the CPU", error)
            self._device = "cpu"
            self._has_fallen_back = True
            return await self.open(folder)
        metrics = self._metrics.of_model(loaded.identity.name, loaded.identity.version)
        batcher = Batcher(
            loaded.engine,
            dispatcher,
            max_queued_rows=self._max_queued_rows,
            max_wait_s=self._max_wait_s,
            metrics=metrics,
        )
        show_model(self._metrics, metrics, loaded, batcher, self._has_fallen_back)
        model = Model(loaded=loaded, batcher=batcher, limits=self._limits_of(loaded, lanes), metrics=metrics)
        self._models.setdefault(model.identity.name, {})[model.identity.version] = model
        return model

    async def retire(self, model: Model) -> None:
        """Takes no more requests for a model, waits until those under way are done, and closes it."""
        versions = self._models[model.identity.name]
        del versions[model.identity.version]
        if not versions:
            del self._models[model.identity.name]
        await model.in_use.ended()
        model.batcher.close()
        model.metrics.close()

    async def close(self) -> None:
        """Retires all models and frees the lanes."""
        await asyncio.gather(*map(self.retire, self))
        for lanes, _ in self._lanes.values():
            await asyncio.to_thread(lanes.close)

    def resolve(self, selector: ModelSelector, *, field: str) -> Model:
        """The model that a selector names: the highest version that has the version and digest asked for, if any.

        Args:
            selector: name, and perhaps version and digest.
            field: where the selector stands in the request, for messages.

        Raises:
            InvalidRequestError: the selector names nothing.
            NotFoundError: there is no such model or version.
            PreconditionError: no version of it has the digest asked for.
        """
        if not selector.name:
            raise InvalidRequestError(f"name a model; this server has {self._listed()}", field=f"{field}.name")
        versions = self._models.get(selector.name)
        if versions is None:
            raise NotFoundError(f"there is no model {selector.name[:80]!r}; this server has {self._listed()}")
        if selector.HasField("version") and selector.version not in versions:
            known = ", ".join(map(str, sorted(versions)))
            raise NotFoundError(f"{selector.name!r} has no version {selector.version}; this server has {known}")
        candidates = [versions[selector.version]] if selector.HasField("version") else list(versions.values())
        matching = [model for model in candidates if selector.digest in ("", model.identity.digest)]
        if not matching:
            known = ", ".join(f"{model.identity.version}: {model.identity.digest}" for model in candidates)
            raise PreconditionError(
                f"{selector.name!r} has no version with the digest {selector.digest[:80]}; this server has {known}. "
                "Samples are pinned to a digest, so ask a server that has it",
                field=f"{field}.digest",
            )
        return max(matching, key=lambda model: model.identity.version)

    def _lanes_of(self, device: Device) -> tuple[Lanes, Dispatcher]:
        """The lanes of a device, which all of its models share."""
        if device not in self._lanes:
            lanes = Lanes(device, self._num_lanes)
            self._lanes[device] = lanes, Dispatcher(lanes.num_lanes)
        return self._lanes[device]

    def _limits_of(self, loaded: LoadedModel, lanes: Lanes) -> Limits:
        height, width, channels = image_shape(loaded.card)
        return Limits.of(
            height * width * channels,
            num_lanes=lanes.num_lanes,
            max_batch=loaded.engine.max_batch,
            max_queued_rows=self._max_queued_rows,
        )

    def _listed(self) -> str:
        return list_names(sorted(self._models)) or "no models"
