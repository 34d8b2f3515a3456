"""What a scorer says of images, as a client hands it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.scores import column_of
from ganserve.contract.text import counted
from ganserve.v1.model_pb2 import ModelCard, ModelIdentity

from .samples import Samples


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Scores:
    """Numbers of images, in their order: the higher, the more an image looks like the real ones.

    Attributes:
        model: name, version and digest of the scorer.
        score: float32 (N,), the number that counts: that of the image's own class where one was given, else the
            scorer's first.
        percentile: float64 (N,), how many per cent of real images have a smaller one, 0 to 100: of real images, one in
            a hundred is below 1. NaN where the scorer does not tell.
        likeliest: name of the class with the highest number, str (N,); None where the scorer knows no classes.
        all: all numbers, float32 (N,) by name.
    """

    model: ModelIdentity
    score: NDArray[np.float32]
    percentile: NDArray[np.float64]
    likeliest: NDArray[np.str_] | None
    all: dict[str, NDArray[np.float32]]

    @classmethod
    def of(cls, card: ModelCard, parts: Sequence[Samples], classes: Sequence[int | str] | None) -> Scores:
        """From the replies for all images, and the class of each, where they are known.

        Raises:
            InvalidRequestError: there are no images, the scorer knows no such class, or there is another number of
                classes than of images.
        """
        if not parts:
            raise InvalidRequestError("there are no images to score; give at least one", field="images")
        made = Samples.join(parts)
        names = [score.name for score in card.scores]
        values = np.stack([made.scores[name] for name in names], axis=1)
        unknown = np.full(len(made), np.nan)
        told = np.stack([made.percentiles.get(name, unknown) for name in names], axis=1)
        columns = np.zeros(len(made), np.intp) if classes is None else _columns(card, classes, len(made))
        rows = np.arange(len(made))
        of_class = [place for place, score in enumerate(card.scores) if score.of_class]
        likeliest = np.array(names)[of_class][values[:, of_class].argmax(axis=1)] if of_class else None
        return cls(
            model=made.model,
            score=values[rows, columns],
            percentile=told[rows, columns],
            likeliest=likeliest,
            all={name: made.scores[name] for name in names},
        )

    def __len__(self) -> int:
        return len(self.score)

    def __repr__(self) -> str:
        model = f"{self.model.name}:{self.model.version}@{self.model.digest[:12]}"
        return f"<scores of {counted(len(self), 'image')} by {model}: {float(np.median(self.score)):.4g} in the middle>"


def _columns(card: ModelCard, classes: Sequence[int | str], count: int) -> NDArray[np.intp]:
    """Which number counts for each image."""
    given: object = classes
    if isinstance(given, (str, int)):
        raise InvalidRequestError(f"classes are {classes!r}; give one of each image, in a list", field="classes")
    if len(classes) != count:
        raise InvalidRequestError(
            f"there are classes of {counted(len(classes), 'image')}, and {count:,} images", field="classes"
        )
    by_class = {one: _column(card, one) for one in set(classes)}
    return np.array([by_class[one] for one in classes], np.intp)


def _column(card: ModelCard, one: int | str) -> int:
    """The number for a class, by its name or its label. Raises InvalidRequestError where there is none."""
    of_class = [place for place, score in enumerate(card.scores) if score.of_class]
    if isinstance(one, str):
        column = column_of(card, one)
    else:
        column = of_class[one] if isinstance(one, (int, np.integer)) and 0 <= one < len(of_class) else None
    if column is None:
        known = ", ".join(card.scores[place].name for place in of_class) or "none"
        raise InvalidRequestError(f"the scorer knows no class {one!r}; it knows {known}", field="classes")
    return column
