"""How the samples of a folder or of one picture were made, as far as a line can tell it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from .samples import Samples

_MOST_CHARACTERS: Final = 8000  # so that it fits into a segment of a JPEG file, whatever has to be escaped


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What samples were asked for, as the command's flags say it."""

    n: int
    first_index: int
    labels: str | None
    counts: str | None
    truncation: float | None
    spread: float | None = None
    best_of: int | None = None
    scorer: str | None = None
    then: Sequence[str] | None = None


@dataclass(frozen=True, kw_only=True)
class InterpolationRecipe:
    """What samples between two addresses were asked for, as the command's flags say it."""

    start: str
    stop: str
    n: int
    labels: str | None
    truncation: float | None
    spread: float | None


def recipe_line(samples: Samples, recipe: Recipe | InterpolationRecipe | None) -> str:
    """JSON in a line: the model, the seed, and the recipe; without one, what the samples themselves tell.

    Where that is too long for a line, the model and the seed.
    """
    model = samples.model
    made_by: dict[str, Any] = {"model": f"{model.name}:{model.version}", "digest": model.digest, "seed": samples.seed}
    asked = _seen(samples) if recipe is None else asdict(recipe)
    line = _written(made_by | asked)
    return line if len(line) <= _MOST_CHARACTERS else _written(made_by)


def _seen(samples: Samples) -> dict[str, Any]:
    """Which samples they are. Those of explicit latents have no indices that would tell."""
    seen: dict[str, Any] = {"n": len(samples), "truncation": samples.truncation, "spread": samples.spread}
    seen |= samples.chain
    if samples.seed is not None:
        is_range = bool((np.diff(samples.indices) == 1).all())
        seen |= {"first_index": samples.first_index} if is_range else {"indices": samples.indices.tolist()}
    if samples.labels is not None:
        seen["labels"] = samples.labels.tolist()
    return seen


def _written(facts: dict[str, Any]) -> str:
    return json.dumps({name: value for name, value in facts.items() if value is not None})
