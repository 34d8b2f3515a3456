"""How far a translator sees: what of a tile is what the whole image would have given, measured on the file itself."""

from __future__ import annotations

from typing import Final

import numpy as np

from ganserve.contract.errors import ArtifactError
from ganserve.contract.images import Images
from ganserve.contract.textures import sample_textures
from ganserve.v1.model_pb2 import ModelCard

from .original import Original

_CANDIDATES: Final = (0, 1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256)
_MOST_LEVELS: Final = 1
_TILES_A_SIDE: Final = 3
_SEED: Final = 1
_NUM_TEXTURES: Final = 3


def measure_halo(original: Original, card: ModelCard) -> int | None:
    """The smallest halo with which the inside of a tile is within one level of the same part of a whole image.

    Each candidate is tried on the tile that lies a step from the corner, as those that the client cuts do, within
    images of three tiles a side. A translator that sees an image as a whole, as with instance norm or attention, has
    none; so has one whose file fixes the size of its images.

    Returns:
        Pixels of the input on each side; None where an image has to be taken as a whole.
    """
    height, width = card.inputs[0].shape.height, card.inputs[0].shape.width
    if not original.takes_any_size or _has_other_inputs(card):
        return None
    whole_shape = (_TILES_A_SIDE * height, _TILES_A_SIDE * width)
    images = {
        entry.name: _hard_images((*whole_shape, entry.shape.channels), number)
        for number, entry in enumerate(card.inputs)
    }
    try:
        whole = original.run(images)[0].astype(np.int16)
    except ArtifactError:
        return None
    scale = card.image.height // height
    for halo in _CANDIDATES:
        step_down, step_right = height - 2 * halo, width - 2 * halo
        if min(step_down, step_right) < min(height, width) // 4:
            return None
        cut = {
            name: image[:, step_down : step_down + height, step_right : step_right + width]
            for name, image in images.items()
        }
        tiles = original.run(cut)[0]
        top, left = (step_down + halo) * scale, (step_right + halo) * scale
        expected = whole[:, top : top + step_down * scale, left : left + step_right * scale]
        edge = halo * scale
        inside = tiles[:, edge : edge + step_down * scale, edge : edge + step_right * scale]
        if int(np.abs(inside - expected).max()) <= _MOST_LEVELS:
            return halo
    return None


def why_not_tiled(original: Original, card: ModelCard) -> str:
    """Why there is no halo, and how to have one, for people."""
    if not original.takes_any_size:
        return "the file fixes height and width; export it with free ones to have larger images cut into tiles"
    if _has_other_inputs(card):
        return "it takes latents or a class, so tiles of an image would not fit together"
    shape = card.inputs[0].shape
    return (
        f"in tiles of {shape.height}×{shape.width} it does not make what it makes of the whole, as with instance norm "
        "or attention; if it has neither, give a larger --size"
    )


def _has_other_inputs(card: ModelCard) -> bool:
    return bool(card.latent_dim or card.class_names)


def _hard_images(shape: tuple[int, int, int], number: int) -> Images:
    """Textures, and the same in black and white, which show more of what lies far off than photographs do."""
    textures = sample_textures(_SEED, 0, _NUM_TEXTURES, shape, number=number)
    return np.concatenate([textures, np.where(textures > np.median(textures), 255, 0).astype(np.uint8)])
