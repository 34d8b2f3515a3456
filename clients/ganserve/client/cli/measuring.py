"""What the commands that measure a server have in common: whom they ask, and where their figures go."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ganserve.client._client import Client
from ganserve.client._transport.access import Access
from ganserve.client._transport.addresses import parse_addresses
from ganserve.client._transport.route import Route
from ganserve.client.benchmark.rounds import TakenInRounds
from ganserve.contract.files import new_file
from ganserve.contract.text import counted

from .access import AccessOptions, access_arguments
from .progress import showing_turns
from .source import find_model, split_digest

S_co = TypeVar("S_co", bound=TakenInRounds, covariant=True)


class Measurement(Protocol[S_co]):
    """Takes turns, and keeps what it has measured so far."""

    @property
    def speed(self) -> S_co:
        """What has been measured so far."""

    def run(self) -> None:
        """Takes all turns."""


@contextmanager
def open_only_server(
    address: str, model: str, *, timeout_s: float, access: AccessOptions | None
) -> Iterator[tuple[Client, Route]]:
    """A client of one model of one server, which answers, and the route there.

    Args:
        address: of the server.
        model: name, ``name:version`` or ``name:version@digest``.
        timeout_s: as for `Client`.
        access: certificates and a token.

    Raises:
        ConfigError: an address or a digest that cannot be used.
        PreconditionError: the server does not have the model that the digest behind the @ says.
        RequestError: as `Client.get_model` does.
    """
    (only_address,) = parse_addresses(address)
    name, beginning = split_digest(model)
    by = access_arguments(access)
    with Client(only_address, model=name, timeout_s=timeout_s, **by) as client:
        find_model(client, beginning)
        yield client, Route(only_address, Access.of([only_address], **by))


def measure(begin: Callable[[Callable[[int, int], None]], Measurement[S_co]], report: Callable[[S_co], None]) -> None:
    """Takes all turns and reports them; where that ends early, by an error or an interruption, those that were taken.

    Args:
        begin: gives the measurement, whose progress it tells: how many turns are over, and of how many.
        report: shows and writes what was measured.

    Raises:
        BaseException: what ended it early, with a note on what is missing.
    """
    with ExitStack() as bar:
        measurement = begin(bar.enter_context(showing_turns()))
        try:
            with stopping_as_by_ctrl_c():
                measurement.run()
        except BaseException as error:
            bar.close()
            speed = measurement.speed
            if speed.num_turns:
                report(speed)
                of_all = f"{speed.num_turns:,} of {counted(speed.num_turns_in_all, 'turn')}"
                error.add_note(f"what was measured by then, {of_all}, is told all the same")
            raise
    report(measurement.speed)


def tell_missing(speed: TakenInRounds) -> str:
    """What was not measured, in a line for people; empty where all was."""
    turns = (f"{name} ({counted(number, 'turn')})" for name, number in speed.missing.items())
    return f"Not measured, since it ended early: {'; '.join(turns)}." if speed.missing else ""


@contextmanager
def stopping_as_by_ctrl_c() -> Iterator[None]:
    """Has SIGTERM end the body as Ctrl-C does, so that what it started is ended too and nothing is lost.

    Outside the main thread, where Python allows no handlers, SIGTERM acts as it always did.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def write_figures(figures: dict[str, Any], path: Path) -> None:
    """Writes plain JSON values to a file, whole or not at all."""
    with new_file(path) as file:
        file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
