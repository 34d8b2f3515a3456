"""From a bundle's folder to a model that takes requests, on a device whose lanes all models share."""

from __future__ import annotations

import asyncio
import logging
import math
from pathlib import Path

import numpy as np

from ganserve.contract.bundle import signature_of
from ganserve.contract.errors import ConfigError
from ganserve.runtime.device import Device, DeviceChoice, choose_device
from ganserve.runtime.lanes import Lanes
from ganserve.runtime.loader import LoadedModel, load_model
from ganserve.v1.model_pb2 import ModelCard

from .batcher import Batcher
from .dispatcher import Dispatcher
from .limits import Limits
from .metrics import Metrics
from .model import Model
from .model_facts import counted_load, show_model

_log = logging.getLogger(__name__)


class ModelOpener:
    """Opens models. Belongs to one event loop."""

    def __init__(
        self,
        *,
        device: DeviceChoice,
        num_lanes: int,
        max_batch: int,
        max_queued_rows: int,
        max_wait_s: float,
        metrics: Metrics,
    ) -> None:
        """As `Repository`."""
        self._may_fall_back = device == "auto"
        self._device = choose_device(device)
        self._has_fallen_back = False
        self._num_lanes = num_lanes
        self._max_batch = max_batch
        self._max_queued_rows = max_queued_rows
        self._max_wait_s = max_wait_s
        self._metrics = metrics
        self._lanes: dict[Device, tuple[Lanes, Dispatcher]] = {}
        self._num_loading = 0

    @property
    def is_loading(self) -> bool:
        """Whether a thread loads a model, also where nobody waits for it any more."""
        return self._num_loading > 0

    async def open(self, folder: Path, *, beside_serving: bool) -> Model:
        """Verifies, loads and warms up the bundle in `folder`.

        Args:
            folder: of the bundle.
            beside_serving: whether callers must not notice.

        Raises:
            ArtifactError: the bundle cannot be served.
            ConfigError: the device cannot be used.
        """
        lanes, dispatcher = self._lanes_of(self._device)
        try:
            with counted_load(self._metrics, folder):
                loaded = await asyncio.to_thread(self._load, folder, lanes, beside_serving)
        except ConfigError as error:
            if not self._may_fall_back or self._device == "cpu":
                raise
            _log.warning("%s; going on with the CPU", error)
            self._device = "cpu"
            self._has_fallen_back = True
            return await self.open(folder, beside_serving=beside_serving)
        metrics = self._metrics.of_model(loaded.identity.name, loaded.identity.version)
        batcher = Batcher(
            loaded.engine,
            dispatcher,
            max_queued_rows=self._max_queued_rows,
            max_wait_s=self._max_wait_s,
            metrics=metrics,
        )
        show_model(self._metrics, metrics, loaded, batcher, self._has_fallen_back)
        return Model(loaded=loaded, batcher=batcher, limits=self._limits_of(loaded, lanes), metrics=metrics)

    def _load(self, folder: Path, lanes: Lanes, beside_serving: bool) -> LoadedModel:
        self._num_loading += 1
        try:
            return load_model(folder, lanes=lanes, max_batch=self._max_batch, beside_serving=beside_serving)
        finally:
            self._num_loading -= 1

    async def close(self) -> None:
        """Frees the lanes, on which nothing runs any more."""
        for lanes, _ in self._lanes.values():
            await asyncio.to_thread(lanes.close)

    def _lanes_of(self, device: Device) -> tuple[Lanes, Dispatcher]:
        """The lanes of a device, which all of its models share."""
        if device not in self._lanes:
            lanes = Lanes(device, self._num_lanes)
            self._lanes[device] = lanes, Dispatcher(lanes.num_lanes)
        return self._lanes[device]

    def _limits_of(self, loaded: LoadedModel, lanes: Lanes) -> Limits:
        return Limits.of(
            _sample_bytes(loaded.card),
            num_lanes=lanes.num_lanes,
            max_batch=loaded.engine.max_batch,
            max_queued_rows=self._max_queued_rows,
        )


def _sample_bytes(card: ModelCard) -> int:
    """What one sample weighs."""
    (output,) = signature_of(card).outputs
    return math.prod(output.row_shape) * np.dtype(output.dtype).itemsize
