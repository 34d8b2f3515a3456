"""Pictures of measurements."""

from __future__ import annotations

import io
from xml.etree import ElementTree

import pytest
from PIL import Image

from ganserve.client.benchmark.chart import Line, Panel, decades, draw_chart, linear_ticks

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    ("highest", "ticks"),
    [
        (0.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.9, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (8, [0, 2, 4, 6, 8]),
        (64, [0, 10, 20, 30, 40, 50, 60, 70]),
        (4501, [0, 1000, 2000, 3000, 4000, 5000]),
    ],
)
def test_ticks_are_round_and_reach_over_all_values(highest: float, ticks: list[float]) -> None:
    assert linear_ticks(highest) == pytest.approx(ticks)


@pytest.mark.parametrize(
    ("lowest", "highest", "ticks"),
    [(3.0, 800.0, [1, 10, 100, 1000]), (0.5, 0.5, [0.1, 1]), (10.0, 10.0, [10, 100])],
)
def test_decades(lowest: float, highest: float, ticks: list[float]) -> None:
    assert decades(lowest, highest) == pytest.approx(ticks)


def chart() -> list[Panel]:
    rising = Line(name="<rising>", points=[(0, 1), (10, 100)])
    diagonal = Line(name="all", points=[(0, 0), (10, 10)], is_reference=True)
    return [
        Panel(title="a", x_name="x", y_name="ms", lines=[rising], is_logarithmic=True),
        Panel(title="b", x_name="x", y_name="1/s", lines=[diagonal, rising]),
    ]


def test_a_chart_as_svg() -> None:
    drawing = draw_chart("title & all", chart())
    root = ElementTree.fromstring(drawing.to_svg())  # noqa: S314 - our own
    assert root.attrib["viewBox"] == f"0 0 {drawing.width} {drawing.height}"
    words = [element.text for element in root.iter(f"{SVG}text")]
    assert {"title & all", "a, ms", "b, 1/s", "<rising>", "100"} <= set(words)
    assert len([line for line in root.iter(f"{SVG}polyline") if "stroke-dasharray" in line.attrib]) == 1
    dots = [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in root.iter(f"{SVG}circle")]
    assert len(dots) == 4
    (x0, y0), (x1, y1) = dots[:2]
    assert x0 < x1
    assert y0 > y1  # more is further up
    assert all(0 <= x <= drawing.width and 0 <= y <= drawing.height for x, y in dots)


def test_a_chart_as_png() -> None:
    drawing = draw_chart("title", chart())
    with Image.open(io.BytesIO(drawing.to_png())) as image:
        assert image.size == (2 * drawing.width, 2 * drawing.height)
        colours = {colour for _, colour in image.getcolors(2**24) or []}
    assert {(255, 255, 255), (0x1F, 0x5C, 0xA8)} <= colours
