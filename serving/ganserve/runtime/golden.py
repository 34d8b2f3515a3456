"""Golden samples: a model serves once it has made again what its exporter recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ganserve.contract import images
from ganserve.contract.bundle import IMAGES_OUTPUT, SCORES_OUTPUT, golden_rows, sha256
from ganserve.contract.card import image_shape, is_scorer
from ganserve.contract.errors import ArtifactError
from ganserve.contract.images import Images
from ganserve.contract.rows import Rows
from ganserve.v1.bundle_pb2 import GoldenSamples
from ganserve.v1.model_pb2 import ModelCard, Reproducibility

from .engine import Engine

_ODD_BATCHES: Final = (3, 5, 7)
_SCORE_TOLERANCE: Final = 1e-3
"""Of the largest score; other processors round otherwise."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What the golden samples have shown.

    Attributes:
        reproducibility: how far they are those of the exporter.
        is_steady: whether they were the same bits in batches of every size.
    """

    reproducibility: Reproducibility.ValueType
    is_steady: bool


def check_golden_samples(
    engine: Engine, run: Callable[[Rows], Rows], card: ModelCard, golden: GoldenSamples, picture: bytes
) -> Proof:
    """Makes the golden samples again, all of them, and in every batch bucket, since each may run differently.

    A bucket that is larger than their number gets them over and over. Of a scorer, odd batches are run too, since the
    choice among candidates rests on equal bits.

    Args:
        engine: of the model.
        run: what has rows run.
        card: of the model.
        golden: what the exporter recorded.
        picture: the file of the samples, which a scorer does not need.

    Raises:
        ArtifactError: the model makes others.
    """
    num_golden = len(golden.sha256)
    rows = golden_rows(card, golden.seed, num_golden)
    recorded = _recorded(card, golden, picture)
    identical, is_steady = True, True
    first: NDArray[np.generic] | None = None
    for count in sorted({*engine.costs_s, *_odd_batches(engine, card), num_golden}, reverse=True):
        places = np.arange(count) % num_golden
        made = run(rows[places]).columns[SCORES_OUTPUT if is_scorer(card) else IMAGES_OUTPUT]
        digests = [sha256(row.tobytes()) for row in made]
        identical = identical and digests == [golden.sha256[place] for place in places]
        if not identical and not _is_close(made, recorded[places]):
            raise ArtifactError(
                f"the model does not make its golden samples on {engine.lanes.device} in a batch of {count} "
                f"with ONNX Runtime {onnxruntime.__version__}; export it again, or serve it with the version that it "
                "was exported with"
            )
        first = made if first is None else first
        is_steady = is_steady and bool(np.array_equal(made, first[:count]))
    same = Reproducibility.REPRODUCIBILITY_IDENTICAL
    return Proof(
        reproducibility=same if identical else Reproducibility.REPRODUCIBILITY_WITHIN_ONE_LEVEL, is_steady=is_steady
    )


def _recorded(card: ModelCard, golden: GoldenSamples, picture: bytes) -> NDArray[np.generic]:
    """Images (N, height, width, channels), or scores (N, K). Raises ArtifactError."""
    num_golden = len(golden.sha256)
    if is_scorer(card):
        if len(golden.scores) != num_golden * len(card.scores):
            raise ArtifactError(
                f"the manifest has {len(golden.scores)} golden scores, and {num_golden} samples of "
                f"{len(card.scores)} each; export the model again"
            )
        return np.array(golden.scores, np.float32).reshape(num_golden, -1)
    height, width, channels = image_shape(card)
    grid: Images = images.decode(picture, channels)
    return images.cut_grid(grid, num_golden, height, width)


def _odd_batches(engine: Engine, card: ModelCard) -> tuple[int, ...]:
    return tuple(size for size in _ODD_BATCHES if is_scorer(card) and size <= engine.max_batch)


def _is_close(made: NDArray[np.generic], recorded: NDArray[np.generic]) -> bool:
    """Whether images are within one level, or scores within a thousandth of the largest."""
    off = np.abs(made.astype(np.float64) - recorded.astype(np.float64)).max()
    if made.dtype == np.uint8:
        return bool(off <= 1)
    return bool(off <= _SCORE_TOLERANCE * max(1.0, float(np.abs(recorded.astype(np.float64)).max())))
