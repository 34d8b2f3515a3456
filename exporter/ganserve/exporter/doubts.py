"""What is doubtful of a generator whose graph makes what it makes: it can be served, and perhaps should not be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ganserve.contract.bundle import IMAGES_OUTPUT, LABELS_INPUT, golden_rows, signature_of
from ganserve.contract.card import is_conditional, kind_of
from ganserve.runtime.runners import CpuRunner
from ganserve.v1.model_pb2 import ModelCard

from .parity import Comparison

_WELL_BEYOND: Final = 1.5
_NEARLY_GREY: Final = 0.02
_SAME_LEVELS: Final = 1
"""Images that differ by no more are taken for the same."""
_SEED: Final = 0
_NUM_LATENTS: Final = 4
_MOST_LABELS: Final = 16


def doubts_of(model: bytes, card: ModelCard, comparisons: list[Comparison]) -> list[str]:
    """All that is doubtful, a line each, for people.

    Args:
        model: the graph to be served, which it is asked for some images.
        card: of the generator.
        comparisons: of the graph with its generator.
    """
    lowest = min(comparison.lowest for comparison in comparisons)
    highest = max(comparison.highest for comparison in comparisons)
    kind = kind_of(card)
    found = f"the {kind}'s values go from {lowest:.3g} to {highest:.3g}, where -1 is black and 1 is white"
    if max(-lowest, highest) > _WELL_BEYOND:
        return [f"{found}; what lies beyond is clipped"]  # which may be what makes images the same
    doubts = [*_doubts_of_sameness(_some_images(model, card), kind)]
    if lowest > -_NEARLY_GREY or highest < _NEARLY_GREY:
        doubts.insert(0, f"{found}; half of the range is not used, as where black is 0 and not -1")
    return doubts


def _some_images(model: bytes, card: ModelCard) -> NDArray[np.uint8]:
    """Images of the same latents for every label, of very many labels some: (labels, latents, H, W, C)."""
    inputs = golden_rows(card, _SEED, _NUM_LATENTS)
    runner = CpuRunner(model, signature_of(card))
    labels: list[int | None] = [None]
    if is_conditional(card):
        num_classes = len(card.class_names)
        spaced = np.linspace(0, num_classes - 1, min(num_classes, _MOST_LABELS))
        labels = [int(label) for label in spaced.round()]
    return np.stack(
        [
            runner.run(
                inputs if label is None else inputs.with_columns({LABELS_INPUT: np.full(_NUM_LATENTS, label, np.int64)})
            ).columns[IMAGES_OUTPUT]
            for label in labels
        ]
    )


def _doubts_of_sameness(images: NDArray[np.uint8], kind: str) -> Iterator[str]:
    """Of images (labels, latents, H, W, C)."""
    num_labels, num_latents = images.shape[:2]
    if _spread(images, axis=1) <= _SAME_LEVELS:
        alike = " for each label" if num_labels > 1 else ""
        if kind == "translator":
            yield f"{num_latents} different images give one image{alike}: the translator ignores its images"
            return
        yield (
            f"{num_latents} different latents give one image{alike}: the generator ignores its latents, or they are "
            "wiped out, as by a truncation (psi) of 0"
        )
    if num_labels > 1 and _spread(images, axis=0) <= _SAME_LEVELS:
        yield f"the same latents give the same image with every label: the {kind} ignores its labels"


def _spread(images: NDArray[np.uint8], *, axis: int) -> int:
    """The most levels that any value differs by along an axis."""
    return int((images.max(axis).astype(np.int16) - images.min(axis)).max())
