"""Every setting of a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ganserve.contract.errors import ConfigError
from ganserve.runtime.device import DeviceChoice, count_physical_cores

from .listening import check_address, socket_path


@dataclass(frozen=True, kw_only=True)
class ServingConfig:
    """How to serve.

    Raises ConfigError for values that cannot be used.
    """

    models: Path = Path("models")
    """Folder of model bundles, `<name>/<version>/`."""

    listen: str = "127.0.0.1:50051"
    """Address to listen on, `host:port` or `unix:path`. Port 0 takes a free one."""

    ready_file: Path | None = None
    """File to write the address to once the models are served, and to remove when they no longer are."""

    device: DeviceChoice = "auto"
    """What to run on. `auto` takes CUDA where the driver has a GPU."""

    lanes: int = field(default_factory=count_physical_cores)
    """Runs at once on a CPU. The default is one a physical core."""

    max_batch: int = 32
    """Most rows of one run. On a CPU a model's runs stay smaller where larger ones are no faster."""

    max_queued_rows: int = 16_384
    """Most rows that wait or run, a model; beyond it requests are refused with RESOURCE_EXHAUSTED."""

    max_wait_s: float = 30.0
    """Most seconds that a request waits whose caller gives no deadline; what would take longer is refused."""

    max_reply_mib: int = 512
    """Most MiB of replies under way at once."""

    max_calls: int = 2_048
    """Most calls at once; beyond it calls are refused with RESOURCE_EXHAUSTED."""

    stall_s: float = 60.0
    """Seconds after which a stream ends whose reader takes nothing. It can be asked for again where it stopped."""

    grace_s: float = 30.0
    """After SIGTERM, seconds that calls under way may take to finish. A second signal ends them at once."""

    drain_delay_s: float = 0.0
    """After SIGTERM, seconds to go on serving while health already says NOT_SERVING."""

    def __post_init__(self) -> None:
        check_address(self.listen)
        for name in ("lanes", "max_batch", "max_queued_rows", "max_reply_mib", "max_calls"):
            if getattr(self, name) < 1:
                raise ConfigError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be at least 1")
        for name in ("grace_s", "drain_delay_s"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must not be negative")
        for name in ("max_wait_s", "stall_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be above 0")
        self._check_together()

    def _check_together(self) -> None:
        """Raises ConfigError where settings contradict each other."""
        socket = socket_path(self.listen)
        if socket and self.ready_file and self.ready_file.absolute() == socket.absolute():
            raise ConfigError(
                f"--ready-file {self.ready_file} is the socket of --listen {self.listen}; give one of them another name"
            )
