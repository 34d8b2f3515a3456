"""Balanced accuracy against the amount of synthetic images, as a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from .findings import ArmFindings, SizeFindings, Spread

_WIDTH: Final = 1_000
_ROW_HEIGHT: Final = 22
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 20, 44, 64
_PLOT_HEIGHT: Final = 480
_COLOURS: Final = ((31, 92, 168), (200, 84, 18), (28, 128, 62), (140, 50, 140), (120, 90, 40), (90, 90, 90))
_BAND_OPACITY: Final = 40
_GREY, _BLACK, _WHITE = (215, 215, 215), (0, 0, 0), (255, 255, 255)
_TICKS: Final = 6
_DASHES: Final = {"real": (), "classic": (2, 6), "baseline": (12, 7)}

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class _Axes:
    """Where values lie in the picture."""

    ratios: tuple[float, ...]
    low: float
    high: float

    def x(self, ratio: float) -> float:
        first, last = math.log(self.ratios[0]), math.log(self.ratios[-1])
        share = 0.5 if first == last else 0.04 + 0.92 * (math.log(ratio) - first) / (last - first)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return _TOP + (self.high - value) / (self.high - self.low) * _PLOT_HEIGHT


def draw_plot(found: Sequence[SizeFindings], title: str) -> Image.Image:
    """One line with its band a size, over the ratio; horizontal lines with bands are what there is without samples.

    Bands are a standard deviation over seeds to either side. Dashed is real images alone, dotted classic augmentation,
    and a ring marks the ratio that validation images choose. RGB.
    """
    axes = _axes(found)
    height = _TOP + _PLOT_HEIGHT + _BOTTOM + _ROW_HEIGHT * len(found)
    picture = Image.new("RGB", (_WIDTH, height), _WHITE)
    _draw_axes(picture, axes, title)
    for number, each in enumerate(found):
        colour = _COLOURS[number % len(_COLOURS)]
        for spread, dash in ((each.baseline, "baseline"), (each.of_kind("classic")[0], "classic")):
            _draw_level(picture, axes, spread.balanced_accuracy, colour, _DASHES[dash])
        _draw_line(picture, axes, each, colour)
        _draw_legend(picture, each, colour, _TOP + _PLOT_HEIGHT + _BOTTOM + _ROW_HEIGHT * number)
    return picture


def _axes(found: Sequence[SizeFindings]) -> _Axes:
    ratios = sorted({each.arm.ratio for size in found for each in size.of_kind("synthetic")})
    shown = [
        each.balanced_accuracy
        for size in found
        for each in (size.baseline, *size.of_kind("classic"), *size.of_kind("synthetic"))
    ]
    low, high = min(each.mean - each.sd for each in shown), max(each.mean + each.sd for each in shown)
    margin = max(0.05 * (high - low), 0.005)
    return _Axes(tuple(ratios), max(0.0, low - margin), min(1.0, high + margin))


def _draw_axes(picture: Image.Image, axes: _Axes, title: str) -> None:
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(15)
    bottom = _TOP + _PLOT_HEIGHT
    draw.text((_LEFT, 12), title, fill=_BLACK, font=ImageFont.load_default(17))
    for number in range(_TICKS):
        value = axes.low + (axes.high - axes.low) * number / (_TICKS - 1)
        draw.line([(_LEFT, axes.y(value)), (_WIDTH - _RIGHT, axes.y(value))], fill=_GREY)
        draw.text((_LEFT - 8, axes.y(value)), f"{value:.1%}", fill=_BLACK, font=font, anchor="rm")
    for ratio in axes.ratios:
        draw.line([(axes.x(ratio), bottom), (axes.x(ratio), bottom + 5)], fill=_BLACK)
        draw.text((axes.x(ratio), bottom + 8), f"{ratio:g}", fill=_BLACK, font=font, anchor="mt")
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    draw.text((middle, bottom + 30), "synthetic images for one real image", fill=_BLACK, font=font, anchor="mt")
    draw.rectangle([_LEFT, _TOP, _WIDTH - _RIGHT, bottom], outline=_BLACK)


def _draw_level(picture: Image.Image, axes: _Axes, level: Spread, colour: Colour, dash: tuple[int, ...]) -> None:
    edges = [(x, axes.y(y)) for y in (level.mean - level.sd, level.mean + level.sd) for x in (_LEFT, _WIDTH - _RIGHT)]
    _fill(picture, [edges[0], edges[1], edges[3], edges[2]], colour, _BAND_OPACITY // 2)
    _dash(ImageDraw.Draw(picture), _LEFT, _WIDTH - _RIGHT, axes.y(level.mean), colour, dash)


def _draw_line(picture: Image.Image, axes: _Axes, size: SizeFindings, colour: Colour) -> None:
    arms = size.of_kind("synthetic")
    above = [(axes.x(each.arm.ratio), axes.y(_upper(each))) for each in arms]
    below = [(axes.x(each.arm.ratio), axes.y(_lower(each))) for each in arms]
    if len(arms) > 1:
        _fill(picture, [*above, *reversed(below)], colour, _BAND_OPACITY)
    draw = ImageDraw.Draw(picture)
    points = [(axes.x(each.arm.ratio), axes.y(each.balanced_accuracy.mean)) for each in arms]
    draw.line(points, fill=colour, width=3)
    chosen = size.comparisons()[0].with_samples
    for each, (x, y), (_, top), (_, end) in zip(arms, points, above, below, strict=True):
        draw.line([(x, top), (x, end)], fill=colour)
        draw.ellipse([x - 5, y - 5, x + 5, y + 5], fill=colour)
        if each is chosen:
            draw.ellipse([x - 10, y - 10, x + 10, y + 10], outline=colour, width=2)


def _draw_legend(picture: Image.Image, size: SizeFindings, colour: Colour, top: int) -> None:
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(14)
    x = float(_LEFT)
    parts = (
        (f"{size.title}: with samples (ring: chosen)", _DASHES["real"]),
        (size.baseline.arm.name, _DASHES["baseline"]),
        ("classic augmentation", _DASHES["classic"]),
    )
    for text, dash in parts:
        _dash(draw, x, x + 40, top + 8, colour, dash)
        draw.text((x + 48, top + 8), text, fill=_BLACK, font=font, anchor="lm")
        x += 72 + font.getlength(text)


def _fill(picture: Image.Image, corners: list[tuple[float, float]], colour: Colour, opacity: int) -> None:
    """Paints a polygon that lets through what is below it."""
    mask = Image.new("L", picture.size, 0)
    ImageDraw.Draw(mask).polygon(corners, fill=opacity)
    picture.paste(Image.new("RGB", picture.size, colour), mask=mask)


def _dash(
    draw: ImageDraw.ImageDraw, left: float, right: float, y: float, colour: Colour, dash: tuple[int, ...]
) -> None:
    """A horizontal line of dashes and gaps of these lengths; whole where there are none."""
    length, gap = dash or (right - left, 0)
    x = left
    while x < right:
        draw.line([(x, y), (min(x + length, right), y)], fill=colour, width=2)
        x += length + gap


def _upper(each: ArmFindings) -> float:
    return each.balanced_accuracy.mean + each.balanced_accuracy.sd


def _lower(each: ArmFindings) -> float:
    return each.balanced_accuracy.mean - each.balanced_accuracy.sd
