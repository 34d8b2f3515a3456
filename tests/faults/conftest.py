"""Models to do harm to, the size of the harm, and what is noted of it for `docs/reliability.md`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import pytest
from _pytest.terminal import TerminalReporter

from findings import Finding, write_findings
from ganserve.contract.card import LATENT_SCHEME
from ganserve.v1.model_pb2 import ImageShape, ModelCard

from ..servers import GANSERVE, ServerProcess, StartServer
from .slow_model import slow_down

MakeBundle = Callable[..., Path]
T = TypeVar("T")

_FINDING: Final = "finding"


class Size(Protocol):
    """The size of something, in the short form of a test and in the long one."""

    def __call__(self, short: T, long: T) -> T: ...


class Note(Protocol):
    """Notes what was seen of a fault, before it is judged."""

    def __call__(self, *, fault: str, load: str, expected: str, seen: str) -> None: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make faults` runs the long form of every test, and gathers what was seen."""
    group = parser.getgroup("faults")
    group.addoption("--long", action="store_true", help="do as much harm as docs/reliability.md tells of")
    group.addoption("--findings", type=Path, metavar="FILE", help="write what was seen to a file, a line of JSON each")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what has a long form alone."""
    if not config.getoption("--long", default=False):
        left_out = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Gathers what was seen, also by the processes of pytest-xdist."""
    path = terminalreporter.config.getoption("--findings", None)
    if path is None:
        return
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, ())]
    findings = [
        Finding(**{**properties, "is_met": report.passed})
        for report in sorted(reports, key=lambda report: str(report.nodeid))
        if report.when == "call"
        for name, properties in report.user_properties
        if name == _FINDING
    ]
    write_findings(path, findings)


@pytest.fixture(scope="session")
def size(request: pytest.FixtureRequest) -> Size:
    """Chooses between the size of the short form and that of the long one."""
    is_long = bool(request.config.getoption("--long", False))
    return lambda short, long: long if is_long else short


@pytest.fixture(scope="session")
def start_server(start_server: StartServer, size: Size) -> StartServer:
    """Starts servers; in the long form as users do, so that they hold no more memory than theirs."""
    return partial(start_server, program=size(None, GANSERVE))


@pytest.fixture
def note(request: pytest.FixtureRequest, record_property: Callable[[str, Any], None]) -> Note:
    """Notes a row of the table in `docs/reliability.md`."""
    test = f"{request.path.relative_to(request.config.rootpath)}::{getattr(request.node, 'originalname', '')}"

    def write(*, fault: str, load: str, expected: str, seen: str) -> None:
        finding = Finding(fault=fault, load=load, expected=expected, seen=seen, shown_by=test)
        record_property(_FINDING, asdict(finding))

    return write


DIGITS: Final = ModelCard(
    latent_dim=16,
    image=ImageShape(height=8, width=8, channels=1),
    class_names=[str(number) for number in range(10)],
    architecture="linear",
    loss="none",
    latent_scheme=LATENT_SCHEME,
)


@pytest.fixture(scope="session")
def models(make_bundle: MakeBundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles: `digits` in two versions, conditional, `plain`, unconditional, and `photos` of 48 KiB an image."""
    folder = tmp_path_factory.mktemp("models")
    make_bundle(folder, "digits", 1, card=DIGITS)
    make_bundle(folder, "digits", 2, card=DIGITS)
    plain = ModelCard()
    plain.CopyFrom(DIGITS)
    plain.ClearField("class_names")
    make_bundle(folder, "plain", 1, card=plain)
    plain.image.CopyFrom(ImageShape(height=128, width=128, channels=3))
    make_bundle(folder, "photos", 1, card=plain)
    return folder


@pytest.fixture(scope="session")
def slow_models(make_bundle: MakeBundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle `digits`, of a generator that takes milliseconds for a row."""
    folder = tmp_path_factory.mktemp("slow-models")
    make_bundle(folder, "digits", 1, card=DIGITS, change=slow_down)
    return folder


@pytest.fixture(scope="module")
def server(models: Path, start_server: StartServer) -> Iterator[ServerProcess]:
    """A server over those bundles, shared by the tests of a file."""
    with start_server(models) as server:
        yield server
