"""What an evaluation finds, and how each score is read. `Scores` is the one list of them.

A new score is one more field here, with its reading, and the line of `Evaluator.scores` that fills it in: the table of
`ganserve evaluate`, `--best-metric`, the card and TensorBoard follow.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple, get_type_hints


class Reading(NamedTuple):
    """How a score is read."""

    better: Literal["lower", "higher", "near 1", ""]
    """Empty for one that says nothing of the generator, and only helps to read another."""

    meaning: str
    lowest: float = 0.0
    highest: float = math.inf

    beside: str = ""
    """Name of the score that it helps to read."""

    can_choose: bool = False
    """Whether `--best-metric` takes it."""

    needs_classes: bool = False
    """Whether it is None for data or a generator without classes."""

    @property
    def range(self) -> str:
        """Which values there are, in words."""
        if self.lowest < 0:
            return "about 0 up"
        return "0 up" if math.isinf(self.highest) else f"{self.lowest:g} to {self.highest:g}"


@dataclass(frozen=True, kw_only=True)
class ClassScores:
    """What an evaluation finds of one class. Shares are of 1."""

    name: str

    target_share: float
    """Of the real images that samples are held against; of classes that count alike, alike."""

    share: float
    """Of the samples, those that the feature extractor takes for this class."""

    gan_test: float | None
    """Of the samples asked for as this class, those taken for it. None for none."""

    judge_accuracy: float | None
    """Of held-out real images of this class, those taken for it. None for none."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Samples against real images, in the features of a `FeatureExtractor`, the judge.

    The distances, `fid_domain` to `diversity`, are between equally many samples and real images, with the same classes
    on both sides; the figures of classes are over all samples.
    """

    num_images: int
    """Samples drawn."""

    fid_domain: Annotated[
        float, Reading("lower", "Fréchet distance to real images, in a classifier of this data", can_choose=True)
    ]
    fid_floor: Annotated[
        float,
        Reading(
            "",
            "the same between two halves of the real images: about what a perfect generator would have",
            beside="fid_domain",
        ),
    ]
    kid: Annotated[
        float, Reading("lower", "kernel distance to real images, in the same features", -math.inf, can_choose=True)
    ]
    precision: Annotated[
        float, Reading("higher", "share of samples that lie among real images", highest=1, can_choose=True)
    ]
    recall: Annotated[
        float, Reading("higher", "share of real images that lie among samples", highest=1, can_choose=True)
    ]
    density: Annotated[float, Reading("higher", "how deep among real images samples lie", can_choose=True)]
    coverage: Annotated[
        float, Reading("higher", "share of real images with a sample nearby", highest=1, can_choose=True)
    ]
    diversity: Annotated[float, Reading("near 1", "how far samples lie apart, over how far real images do")]
    gan_test: Annotated[
        float | None,
        Reading(
            "higher",
            "share of samples that are taken for the class asked for",
            highest=1,
            can_choose=True,
            needs_classes=True,
        ),
    ]
    gan_test_largest: Annotated[
        float | None,
        Reading(
            "",
            "the same if every sample were of the largest class",
            highest=1,
            beside="gan_test",
            needs_classes=True,
        ),
    ]
    gan_test_balanced: Annotated[
        float | None,
        Reading(
            "higher",
            "the same with classes counting alike, so that a small one counts",
            highest=1,
            can_choose=True,
            needs_classes=True,
        ),
    ]
    gan_test_chance: Annotated[
        float | None,
        Reading(
            "", "the same if the class were drawn by lot", highest=1, beside="gan_test_balanced", needs_classes=True
        ),
    ]
    judge_accuracy: Annotated[
        float, Reading("", "share of held-out real images that the judge itself gets right", highest=1)
    ]
    judge_accuracy_balanced: Annotated[
        float | None,
        Reading("", "the same with classes counting alike", highest=1, beside="judge_accuracy", needs_classes=True),
    ]
    class_kl: Annotated[
        float | None,
        Reading("lower", "how far the classes of samples are from the data's, in nats", needs_classes=True),
    ]
    fid_inception: Annotated[
        float | None, Reading("lower", "Fréchet distance in Inception's features, where its weights are at hand")
    ]
    copied: Annotated[
        float | None,
        Reading(
            "lower",
            "share of samples nearer to a training image than the nearest 1 % of held-out real images are",
            highest=1,
        ),
    ] = None
    """As the two below it, None where nothing was held out."""
    copied_by_chance: Annotated[
        float | None, Reading("", "the same for a generator that copies nothing", highest=1, beside="copied")
    ] = None
    nearest_ratio: Annotated[
        float | None,
        Reading(
            "near 1", "how far samples are from their nearest training image, over how far held-out images are, medians"
        ),
    ] = None

    classes: tuple[ClassScores, ...]
    """In label order; empty for data without classes."""

    def to_dict(self) -> dict[str, Any]:
        """By name, as JSON takes it, without what is None or empty."""
        values = dataclasses.asdict(self) | {"classes": [_known(dataclasses.asdict(each)) for each in self.classes]}
        return {name: value for name, value in _known(values).items() if value != []}

    def metrics(self) -> dict[str, float]:
        """The scores that have a reading, by name, without those that are None."""
        return {name: value for name in READINGS if (value := getattr(self, name)) is not None}


def _readings() -> dict[str, Reading]:
    hints = get_type_hints(Scores, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items() if hasattr(hint, "__metadata__")}


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


READINGS: Final[Mapping[str, Reading]] = _readings()
"""How the scores are read, by name, in the order in which they are shown."""

if TYPE_CHECKING:
    BestMetric = str
else:
    BestMetric = Literal[tuple(name for name, reading in READINGS.items() if reading.can_choose)]
