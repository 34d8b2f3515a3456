"""A model that takes requests, and the count of those that use it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType

from ganserve.contract.selectors import title_of
from ganserve.runtime.heap import trim_heap
from ganserve.runtime.loader import LoadedModel
from ganserve.v1.model_pb2 import ModelCard, ModelIdentity, ModelState, ServedModel

from .batcher import Batcher
from .limits import Limits
from .metrics import ModelMetrics
from .statistics import Statistics


class InUse:
    """Counts the bodies that run in it at once.

    Attributes:
        count: how many run now.
        ended_s: monotonic time at which the last of them ended.
    """

    def __init__(self) -> None:
        self.ended_s = -math.inf
        self._ended = asyncio.Event()
        self._ended.set()
        self.count = 0

    def __enter__(self) -> None:
        self.count += 1
        self._ended.clear()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.count -= 1
        if not self.count:
            self.ended_s = time.monotonic()
            self._ended.set()

    async def ended(self) -> None:
        """Waits until none runs."""
        await self._ended.wait()


@dataclass(eq=False, kw_only=True)
class Model:
    """A model that takes requests. Belongs to one event loop.

    Attributes:
        in_use: around every call that uses the model.
        streaming: around those of them that are streams.
        fault: why it fails to run; empty while it runs.
    """

    loaded: LoadedModel
    batcher: Batcher
    limits: Limits
    metrics: ModelMetrics
    in_use: InUse = field(default_factory=InUse)
    streaming: InUse = field(default_factory=InUse)
    fault: str = ""

    @property
    def identity(self) -> ModelIdentity:
        return self.loaded.identity

    @property
    def card(self) -> ModelCard:
        return self.loaded.card

    @property
    def statistics(self) -> Statistics:
        return self.batcher.statistics

    @property
    def title(self) -> str:
        """Name and version."""
        return title_of(self.identity.name, self.identity.version)

    def describe(self, state: ModelState.ValueType, *, reason: str = "", aliases: Iterable[str] = ()) -> ServedModel:
        """What clients are told of it."""
        served = self.loaded.describe(state)
        served.max_samples_per_request = self.limits.samples_per_request
        served.state_reason = reason
        served.aliases.extend(aliases)
        return served

    async def drain(self) -> None:
        """Waits until the calls and runs under way are done, and frees what the model took."""
        await self.in_use.ended()
        self.batcher.close()
        await self.batcher.ended()
        self.metrics.close()
        await asyncio.to_thread(self._free)

    def _free(self) -> None:
        self.loaded.engine.close()
        trim_heap()
