"""Panels with axes, side by side: lines of one quantity over another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .drawing import Drawing, Point

_PANEL_WIDTH, _PANEL_HEIGHT = 420, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 20, 56, 52
_TITLE_HEIGHT: Final = 26
_COLOURS: Final = ("#1f5ca8", "#c85412", "#1c803e")
_GREY: Final = "#d8d8d8"
_FEWEST_TICKS: Final = 4
_STEPS: Final = (1, 2, 5)


@dataclass(frozen=True, kw_only=True)
class Line:
    """Points, by rising x, and what they are."""

    name: str
    points: Sequence[Point]
    is_reference: bool = False


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Axes and the lines between them.

    Attributes:
        title: what is shown.
        x_name: quantity to the right.
        y_name: quantity upwards.
        lines: at least one with at least one point; values are not negative.
        is_logarithmic: whether y is, and then above 0.
    """

    title: str
    x_name: str
    y_name: str
    lines: Sequence[Line]
    is_logarithmic: bool = False


def draw_chart(title: str, panels: Sequence[Panel]) -> Drawing:
    """Panels from left to right under a title."""
    drawing = Drawing(_PANEL_WIDTH * len(panels), _TITLE_HEIGHT + _PANEL_HEIGHT)
    drawing.words((_LEFT, _TITLE_HEIGHT - 6), title, 14)
    for number, panel in enumerate(panels):
        _PanelDrawing(drawing, panel, _PANEL_WIDTH * number).draw()
    return drawing


class _PanelDrawing:
    """Where the values of one panel lie."""

    def __init__(self, drawing: Drawing, panel: Panel, left: float) -> None:
        self._drawing = drawing
        self._panel = panel
        self._left, self._right = left + _LEFT, left + _PANEL_WIDTH - _RIGHT
        self._top, self._bottom = _TITLE_HEIGHT + _TOP, _TITLE_HEIGHT + _PANEL_HEIGHT - _BOTTOM
        xs, ys = zip(*(point for line in panel.lines for point in line.points), strict=True)
        self._x_ticks = linear_ticks(max(xs))
        self._y_ticks = decades(min(ys), max(ys)) if panel.is_logarithmic else linear_ticks(max(ys))

    def draw(self) -> None:
        self._draw_axes()
        plain = 0
        for line in self._panel.lines:
            colour = _GREY if line.is_reference else _COLOURS[plain % len(_COLOURS)]
            points = [(self._x(x), self._y(y)) for x, y in line.points]
            self._drawing.line(points, colour, 2, dashed=line.is_reference)
            if not line.is_reference:
                self._name(line.name, colour, plain)
                plain += 1
                for point in points:
                    self._drawing.dot(point, colour)

    def _draw_axes(self) -> None:
        middle = (self._left + self._right) / 2
        for value in self._y_ticks:
            self._drawing.line([(self._left, self._y(value)), (self._right, self._y(value))], _GREY)
            self._drawing.words((self._left - 6, self._y(value) + 4), f"{value:,.10g}", 11, "end")
        for value in self._x_ticks:
            self._drawing.line([(self._x(value), self._bottom), (self._x(value), self._bottom + 4)])
            self._drawing.words((self._x(value), self._bottom + 17), f"{value:,.10g}", 11, "middle")
        corners = ((self._left, self._top), (self._left, self._bottom), (self._right, self._bottom))
        self._drawing.line(corners)
        self._drawing.words((middle, self._bottom + 38), self._panel.x_name, 12, "middle")
        self._drawing.words((self._left, self._top - 30), f"{self._panel.title}, {self._panel.y_name}", 13)

    def _name(self, name: str, colour: str, number: int) -> None:
        x = self._left + number * (self._right - self._left) / len(_COLOURS)
        y = self._top - 14
        self._drawing.line([(x, y), (x + 18, y)], colour, 2)
        self._drawing.words((x + 24, y + 4), name, 11)

    def _x(self, value: float) -> float:
        return self._left + value / self._x_ticks[-1] * (self._right - self._left)

    def _y(self, value: float) -> float:
        low, high = self._y_ticks[0], self._y_ticks[-1]
        if self._panel.is_logarithmic:
            share = math.log(value / low) / math.log(high / low)
        else:
            share = (value - low) / (high - low)
        return self._bottom - share * (self._bottom - self._top)


def linear_ticks(highest: float) -> list[float]:
    """Round numbers from 0 to at least the highest value, which is not negative."""
    highest = highest or 1.0
    size = 10.0 ** math.floor(math.log10(highest / _FEWEST_TICKS))
    step = next((factor * size for factor in reversed(_STEPS) if highest / (factor * size) >= _FEWEST_TICKS), size)
    return [round(step * number, 10) for number in range(math.ceil(highest / step - 1e-9) + 1)]


def decades(lowest: float, highest: float) -> list[float]:
    """Powers of ten from at most the lowest to at least the highest value, both above 0, and at least two."""
    first = math.floor(math.log10(lowest))
    last = max(first + 1, math.ceil(math.log10(highest)))
    return [10.0**power for power in range(first, last + 1)]
