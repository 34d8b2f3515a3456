"""What a server is measured with, and what can be asked of one model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ganserve.client._samples.model_info import ModelInfo
from ganserve.client.benchmark.limits import check_size
from ganserve.client.benchmark.load import RequestKind
from ganserve.contract.errors import ConfigError
from ganserve.v1.model_pb2 import ModelIdentity

LoadName = Literal["closed", "open", "streams", "replies"]

OPEN_PERCENTS: Final = (20, 50, 80, 100, 120, 200, 300)
REPLY_MIB: Final = (1, 8, 32)
BYTES_PER_MIB: Final = 2**20


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured.

    Attributes:
        loads: kinds of load.
        size: samples a request of the open loop.
        deadline_s: seconds that a request of the open loop is given.
        num_processes: processes that share the load.
        num_rounds: turns of each load.
        turn_s: seconds.
        timeout_s: seconds that any other request is given.
        server_pid: the server's process, where its CPU time is to be told.
    """

    loads: Sequence[LoadName]
    size: int
    deadline_s: float
    num_processes: int
    num_rounds: int
    turn_s: float
    timeout_s: float
    server_pid: int | None


@dataclass(frozen=True)
class ClosedLoad:
    """Callers that ask again as soon as they are answered.

    Attributes:
        num_callers: how many ask at a time.
        num_samples: samples a request.
        form: form of the images.
        num_together: callers whose requests travel in one call.
    """

    num_callers: int
    num_samples: int
    form: Literal["raw", "png"] = "raw"
    num_together: int = 1

    @property
    def name(self) -> str:
        """Callers × samples a request, and how they come."""
        joint = f", {self.num_together} a call" if self.num_together > 1 else ""
        return f"{self.num_callers} × {self.num_samples}, {self.form}{joint}"

    @property
    def num_calls(self) -> int:
        """Calls under way at a time."""
        return self.num_callers // self.num_together

    def kind(self, model: ModelIdentity) -> RequestKind:
        """What each call asks for."""
        return RequestKind.of(model, self.num_samples, self.form, num_together=self.num_together)


_CLOSED_LOADS: Final = (
    *(ClosedLoad(callers, samples) for callers, samples in ((1, 1), (8, 1), (64, 1))),
    ClosedLoad(64, 1, num_together=32),
    *(ClosedLoad(callers, samples) for callers, samples in ((1, 4), (1, 16), (1, 64), (4, 64))),
    *(ClosedLoad(callers, samples, "png") for callers, samples in ((1, 1), (8, 1), (64, 1), (1, 64), (4, 64))),
)
_PEAK_CALLERS: Final = (8, 64)


def closed_loads(settings: Settings) -> list[ClosedLoad]:
    """The closed loops that are asked for, and those that the open loop's peak is found with."""
    loads = list(_CLOSED_LOADS) if "closed" in settings.loads else []
    if "open" in settings.loads:
        loads += [load for load in peak_loads(settings) if load not in loads]
    return loads


def peak_loads(settings: Settings) -> list[ClosedLoad]:
    """The closed loops of the open loop's requests, the best of which is its peak."""
    return [ClosedLoad(num_callers, settings.size) for num_callers in _PEAK_CALLERS]


def split_by_limit(loads: Sequence[ClosedLoad], model: ModelInfo) -> tuple[list[ClosedLoad], list[str]]:
    """The loads whose requests the server takes, and what is to be said of the others."""
    most = model.max_samples_per_request
    taken = [load for load in loads if load.num_samples <= most]
    left_out = [f"{load.name}: the server makes at most {most:,} a request" for load in loads if load not in taken]
    return taken, left_out


def check(settings: Settings, model: ModelInfo) -> None:
    """Raises ConfigError where no load is named, or the model does not allow the size."""
    if not settings.loads:
        raise ConfigError("--loads names no load; give some of closed, open, streams and replies")
    check_size(settings.size, model)
