"""Every setting of a server."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ganserve.contract.bounds import Bounds
from ganserve.contract.errors import ConfigError
from ganserve.runtime.device import DeviceChoice, count_physical_cores
from ganserve.runtime.lanes import BATCH_ROWS, LANES

from .call_log import LoggedCalls
from .listening import check_address, check_host_and_port, socket_path
from .log_lines import LogFormat, LogLevel


@dataclass(frozen=True, kw_only=True)
class ServingConfig:
    """How to serve.

    Raises ConfigError for values that cannot be used.
    """

    models: Path = Path("models")
    """Folder of model bundles, `<name>/<version>/`."""

    strict: bool = False
    """Whether a bundle that cannot be served stops the start. Otherwise its model is unavailable, and tells why."""

    watch: float | None = None
    """Seconds between two looks at the folder: new bundles are loaded, changed ones take their place, and those that go
    are unloaded. Without it, the folder is read once."""

    allow_admin: bool = False
    """Whether callers may load and unload models and move aliases, as `ganserve admin` does."""

    channelz: bool = False
    """Whether administrators may ask for gRPC's own figures of its connections and calls (grpc.channelz.v1)."""

    linger_s: float = 10.0
    """Seconds for which a model that was replaced or unloaded still answers the calls that began with it."""

    listen: str = "127.0.0.1:50051"
    """Address to listen on, `host:port` or `unix:path`. Port 0 takes a free one."""

    http: str | None = None
    """Address for pictures by URL, metrics, probes and a page, `host:port`. Without it, there is no HTTP."""

    tls_cert: Path | None = None
    """Certificate of the server with those that lead to its CA, PEM. With it, clients connect by `grpcs://`. A new one
    is taken without a restart."""

    tls_key: Path | None = None
    """Private key of the certificate, PEM, without a password."""

    client_ca: Path | None = None
    """Certificates of CAs, PEM. With it, only clients connect that have a certificate of one of them (mutual TLS)."""

    plaintext: bool = False
    """Whether to listen without TLS where other machines can connect."""

    tokens: Path | None = None
    """File of the tokens of which callers need one, as `ganserve token new` prints its lines. Changes are taken without
    a restart. Without it, everybody may call."""

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

    max_connections: int = 4_096
    """Most connections at once; beyond it connections are closed as they come."""

    max_connection_age_s: float = 1_800.0
    """Seconds, give or take a tenth, after which a client is told to connect anew, so that new servers behind the same
    name get their share; inf for never."""

    connection_grace_s: float = 60.0
    """Seconds after that for which calls under way on the old connection go on. Streams are resumed by the client."""

    stall_s: float = 60.0
    """Seconds after which a stream ends whose reader takes nothing. It can be asked for again where it stopped."""

    grace_s: float = 30.0
    """After SIGTERM, seconds that calls under way may take to finish. A second signal ends them at once."""

    drain_delay_s: float = 0.0
    """After SIGTERM, seconds to go on serving while health already says NOT_SERVING."""

    log_format: LogFormat = "text"
    """Lines of text, or an object of JSON a line."""

    log_level: LogLevel = "info"
    """Least level of the lines that are written."""

    log_calls: LoggedCalls = "none"
    """Calls that have a line of the log: none, those that failed, or all."""

    otlp_endpoint: str | None = None
    """Where traces of calls are sent by OTLP over gRPC, `http://host:port`, or `https://` for TLS. Without it, there
    are none."""

    def __post_init__(self) -> None:
        check_address(self.listen)
        if self.otlp_endpoint is not None and not re.fullmatch(r"https?://[^/\s]+/?", self.otlp_endpoint):
            raise ConfigError(f"--otlp-endpoint {self.otlp_endpoint!r} is no http://host:port or https://host:port")
        if self.http is not None:
            check_host_and_port(self.http, flag="--http")
        _check_tls(self)
        for name, bounds in _BOUNDS.items():
            value = getattr(self, name)
            if value is not None and value not in bounds:
                raise ConfigError(f"--{name.replace('_', '-')} is {value}; give {bounds}")
        _check_socket(self)
        if self.log_calls == "all" and self.log_level in ("warning", "error"):
            raise ConfigError(
                f"--log-calls all writes lines of level info, which --log-level {self.log_level} leaves out; drop one"
            )


_DAY_S: Final = 24 * 3_600
_BOUNDS: Final = {
    "watch": Bounds(0, _DAY_S, above_low=True),
    "linger_s": Bounds(0, _DAY_S),
    "lanes": LANES,
    "max_batch": BATCH_ROWS,
    "max_queued_rows": Bounds(1, 2**24),
    "max_wait_s": Bounds(0, 3_600, above_low=True),
    "max_reply_mib": Bounds(1, 2**20),
    "max_calls": Bounds(1, 1_000_000),
    "max_connections": Bounds(1, 1_000_000),
    "max_connection_age_s": Bounds(1, 14 * _DAY_S, or_inf=True),
    "connection_grace_s": Bounds(0, _DAY_S),
    "stall_s": Bounds(0, _DAY_S, above_low=True),
    "grace_s": Bounds(0, _DAY_S),
    "drain_delay_s": Bounds(0, _DAY_S),
}
"""Of every number among the settings. What is beyond them is a slip, and would not work or not end."""


def _check_tls(config: ServingConfig) -> None:
    """Raises ConfigError for settings of TLS that contradict each other."""
    if (config.tls_cert is None) != (config.tls_key is None):
        raise ConfigError("--tls-cert and --tls-key go together; give both, or neither")
    if config.client_ca is not None and config.tls_cert is None:
        raise ConfigError("--client-ca is for clients that connect by TLS; give --tls-cert and --tls-key too")
    if config.plaintext and config.tls_cert is not None:
        raise ConfigError("--plaintext and --tls-cert contradict each other; leave one of them out")
    if config.tls_cert is not None and config.listen.startswith("unix:"):
        raise ConfigError(f"--listen {config.listen}: a socket of this machine needs no TLS; leave --tls-cert out")


def _check_socket(config: ServingConfig) -> None:
    """Raises ConfigError where the socket is to be another file too."""
    socket = socket_path(config.listen)
    if socket and config.ready_file and config.ready_file.absolute() == socket.absolute():
        raise ConfigError(
            f"--ready-file {config.ready_file} is the socket of --listen {config.listen}; give one of them another name"
        )
