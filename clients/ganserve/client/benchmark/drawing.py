"""Lines, dots and words, as SVG or as PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Literal
from xml.sax.saxutils import escape

from PIL import Image, ImageDraw, ImageFont

Anchor = Literal["start", "middle", "end"]
Point = tuple[float, float]

_DASH: Final = 6
_PILLOW_ANCHORS: Final = {"start": "ls", "middle": "ms", "end": "rs"}
_SCALE: Final = 2  # pixels of a PNG for one of the drawing


@dataclass(frozen=True)
class _Line:
    points: Sequence[Point]
    colour: str
    width: float
    dashed: bool


@dataclass(frozen=True)
class _Dot:
    place: Point
    colour: str
    radius: float


@dataclass(frozen=True)
class _Words:
    place: Point
    text: str
    size: int
    anchor: Anchor


@dataclass
class Drawing:
    """A picture on white. Places are in pixels from the upper left corner."""

    width: int
    height: int
    _parts: list[_Line | _Dot | _Words] = field(default_factory=list)

    def line(self, points: Sequence[Point], colour: str = "#000000", width: float = 1, *, dashed: bool = False) -> None:
        """A line from point to point."""
        self._parts.append(_Line(points, colour, width, dashed))

    def dot(self, place: Point, colour: str, radius: float = 3) -> None:
        """A filled circle."""
        self._parts.append(_Dot(place, colour, radius))

    def words(self, place: Point, text: str, size: int = 12, anchor: Anchor = "start") -> None:
        """A line of text, whose base line begins, has its middle, or ends at a place."""
        self._parts.append(_Words(place, text, size, anchor))

    def to_svg(self) -> str:
        """As SVG."""
        parts = "\n".join(map(_svg, self._parts))
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{self.height}" '
            f'viewBox="0 0 {self.width} {self.height}" font-family="sans-serif">\n'
            f'<rect width="100%" height="100%" fill="#ffffff"/>\n{parts}\n</svg>\n'
        )

    def to_png(self) -> bytes:
        """As PNG, at twice the size."""
        picture = Image.new("RGB", (self.width * _SCALE, self.height * _SCALE), "#ffffff")
        draw = ImageDraw.Draw(picture)
        for part in self._parts:
            _paint(draw, part)
        file = io.BytesIO()
        picture.save(file, "PNG")
        return file.getvalue()


def _svg(part: _Line | _Dot | _Words) -> str:
    match part:
        case _Line(points, colour, width, dashed):
            places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            dashes = f' stroke-dasharray="{_DASH}"' if dashed else ""
            return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="{width:g}"{dashes}/>'
        case _Dot((x, y), colour, radius):
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{colour}"/>'
        case _Words((x, y), text, size, anchor):
            return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escape(text)}</text>'


def _paint(draw: ImageDraw.ImageDraw, part: _Line | _Dot | _Words) -> None:
    match part:
        case _Line(points, colour, width, dashed):
            scaled = [(x * _SCALE, y * _SCALE) for x, y in points]
            for piece in _pieces(scaled, _DASH * _SCALE) if dashed else [scaled]:
                draw.line(piece, fill=colour, width=round(width * _SCALE), joint="curve")
        case _Dot((x, y), colour, radius):
            draw.circle((x * _SCALE, y * _SCALE), radius * _SCALE, fill=colour)
        case _Words((x, y), text, size, anchor):
            font = ImageFont.load_default(size * _SCALE)
            draw.text((x * _SCALE, y * _SCALE), text, fill="#000000", font=font, anchor=_PILLOW_ANCHORS[anchor])


def _pieces(points: Sequence[Point], length: float) -> list[list[Point]]:
    """The dashes of a line, with gaps of the same length."""
    dashes = []
    for (x0, y0), (x1, y1) in pairwise(points):
        whole = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
        num_dashes = max(1, round(whole / (2 * length)))
        for i in range(num_dashes):
            begin, end = i / num_dashes, (i + 0.5) / num_dashes
            dashes.append([(x0 + (x1 - x0) * at, y0 + (y1 - y0) * at) for at in (begin, end)])
    return dashes
