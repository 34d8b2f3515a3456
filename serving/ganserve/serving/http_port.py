"""The HTTP side of a server, where it has one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from ganserve.contract.errors import ConfigError
from ganserve.contract.extras import install_advice

from .access import Access
from .answers import Answers
from .certificates import Certificates
from .counted_call import CallObserver
from .health import Health
from .metrics import Metrics

_log = logging.getLogger(__name__)


class HttpPort:
    """Pictures, metrics, probes and a page at an address, or nothing without one."""

    def __init__(
        self,
        address: str | None,
        answers: Answers,
        metrics: Metrics,
        health: Health,
        grpc_address: Callable[[], str],
        *,
        certificates: Certificates | None,
        access: Access | None,
        observers: Sequence[CallObserver],
        max_calls: int,
        stall_s: float,
    ) -> None:
        """Opens nothing yet. Raises ConfigError where there is an address and no library for it."""
        self._gate = self._listener = None
        if address is None:
            return
        try:
            from .http.app import build_app
            from .http.listener import Listener
        except ImportError as error:
            raise ConfigError(f"--http needs {error.name}, which is not installed; {install_advice('http')}") from error
        self._gate = build_app(
            answers,
            metrics,
            health,
            grpc_address,
            access=access,
            observers=observers,
            max_calls=max_calls,
            stall_s=stall_s,
        )
        self._listener = Listener(address, self._gate, certificates)

    async def open(self) -> None:
        """Takes the address and begins to answer. Raises ConfigError where the address cannot be used."""
        if self._listener is not None:
            await self._listener.open()
            _log.info("HTTP on %s", self._listener.url)

    def refuse(self) -> None:
        """Has clients go elsewhere for models and samples. Probes and metrics go on."""
        if self._gate is not None:
            self._gate.close()

    async def emptied(self, *, timeout_s: float) -> None:
        """Waits until what is under way is answered, but no longer than that."""
        if self._gate is not None:
            await self._gate.emptied(timeout_s=timeout_s)

    async def close(self) -> None:
        """Ends all connections."""
        if self._listener is not None:
            await self._listener.close()
