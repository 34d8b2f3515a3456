"""What was measured of a server, as a picture: latency and goodput against load, and throughput against batch size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ganserve.client.benchmark.chart import Line, Panel, draw_chart
from ganserve.client.benchmark.drawing import Drawing
from ganserve.contract.errors import ConfigError
from ganserve.contract.files import new_file

from .figures import ServerSpeed, median_of
from .loads import LoadName, closed_loads

_SUFFIXES = (".svg", ".png")


def check_plot(file: Path, loads: Sequence[LoadName]) -> None:
    """Raises ConfigError where no picture can be written to such a file, or nothing would be in it."""
    if file.suffix.lower() not in _SUFFIXES:
        raise ConfigError(f"--plot {file}: a plot is a file that ends in .svg or .png")
    if not {"closed", "open"} & set(loads):
        raise ConfigError("--plot shows closed and open loops; add closed or open to --loads")


def write_plot(speed: ServerSpeed, file: Path) -> bool:
    """Writes a picture in the form that the file's name ends in, and tells whether there was anything to draw.

    Raises:
        ArtifactError: it cannot be written.
    """
    drawing = draw_server_plot(speed)
    if drawing is None:
        return False
    data = drawing.to_svg().encode() if file.suffix.lower() == ".svg" else drawing.to_png()
    with new_file(file) as partial:
        partial.write_bytes(data)
    return True


def draw_server_plot(speed: ServerSpeed) -> Drawing | None:
    """Medians of all rounds, in a panel for each of what was measured; None where nothing of it was."""
    drawn = [panel for panel in (_latency(speed), _goodput(speed), _throughput(speed)) if panel.lines]
    height, width, channels = speed.image
    title = f"{speed.model}, {height} x {width} x {channels}, on {speed.device}"
    return draw_chart(title, drawn) if drawn else None


def _latency(speed: ServerSpeed) -> Panel:
    lines = [Line(name=name, points=_points(speed, f"{name}_ms")) for name in ("p50", "p90", "p99")]
    return Panel(
        title="latency of answers",
        x_name="offered load, requests/s",
        y_name="ms",
        lines=[line for line in lines if line.points],
        is_logarithmic=True,
    )


def _goodput(speed: ServerSpeed) -> Panel:
    points = _points(speed, "answered_per_s")
    highest = max((y for _, y in points), default=0.0)
    all_answered = Line(name="all answered", points=[(0, 0), (highest, highest)], is_reference=True)
    return Panel(
        title="goodput",
        x_name="offered load, requests/s",
        y_name="requests/s",
        lines=[all_answered, Line(name="answered in time", points=points)] if points else [],
    )


def _throughput(speed: ServerSpeed) -> Panel:
    """Of one caller who asks for raw images; with lanes for it, its own request is all that there is to batch."""
    points = []
    for load in closed_loads(speed.settings) if "closed" in speed.settings.loads else ():
        turns = speed.closed.get(load.name)
        if turns and load.num_callers == 1 and load.form == "raw":
            points.append((float(load.num_samples), median_of(turns, "images_per_s") or 0.0))
    return Panel(
        title="throughput of one caller",
        x_name="images a request",
        y_name="images/s",
        lines=[Line(name="raw", points=sorted(points))] if points else [],
    )


def _points(speed: ServerSpeed, name: str) -> list[tuple[float, float]]:
    points = []
    for turns in speed.opened.values():
        offered_per_s, value = median_of(turns, "offered_per_s"), median_of(turns, name)
        if offered_per_s is not None and value is not None:
            points.append((offered_per_s, value))
    return points
