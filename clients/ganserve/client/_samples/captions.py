"""Grids whose samples have their class written below them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from PIL import ImageDraw, ImageFont

from ganserve.contract.images import Images, make_grid, to_pil, zoom_to_see

_GAP: Final = 4
_STRIP: Final = 14  # height of a caption
_WHITE: Final[Mapping[int, int | tuple[int, ...]]] = {1: 255, 3: (255, 255, 255)}  # by number of channels


def make_captioned_sheet(images: Images, captions: Sequence[str], columns: int | None = None) -> Images:
    """A grid for people, small images enlarged, with a caption below each; captions too long are cut.

    Args:
        images: uint8 (N, height, width, channels).
        captions: N texts.
        columns: images a row; without it, about as wide as high.

    Returns:
        uint8 (height, width, channels).
    """
    zoom = zoom_to_see(*images.shape[1:3])
    tiles = images.repeat(zoom, axis=1).repeat(zoom, axis=2)
    width, channels = tiles.shape[2:]
    drawn = {caption: _draw(caption, width, channels) for caption in set(captions)}
    strips = np.stack([drawn[caption] for caption in captions])
    return make_grid(np.concatenate([tiles, strips], axis=1), columns, gap=_GAP)


def caption(label: int, class_name: str) -> str:
    """What is written below a sample: the name of its class, or its label where Pillow's own font lacks a letter."""
    return class_name if class_name and class_name.isascii() and class_name.isprintable() else f"label {label}"


def _draw(text: str, width: int, channels: int) -> Images:
    """uint8 (strip, width, channels)."""
    font = ImageFont.load_default()
    fitting = text
    while font.getlength(fitting) > width and len(fitting) > 1:
        fitting = fitting.removesuffix("…")[:-1] + "…"
    strip = to_pil(np.zeros((_STRIP, width, channels), np.uint8))
    middle = (width - font.getlength(fitting)) / 2
    ImageDraw.Draw(strip).text((max(0.0, middle), 1), fitting, fill=_WHITE[channels], font=font)
    return np.asarray(strip).reshape(_STRIP, width, channels)
