"""Synthetic samples mixed into a real data set."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ganserve.client._source import SampleSource
from ganserve.client.quotas import Quota
from ganserve.contract.errors import ConfigError

from ._dataset import SyntheticDataset
from ._fitting import Fitting, SizeLike
from ._folder import ClassFolders
from ._images import ImageType, Presentation, Transform
from ._matching import ClassesLike, check_matched, match_classes
from ._mixed import MixedDataset
from ._quota_rule import QuotaRule, RatioLike, counts_in_order
from ._real import RealImages
from ._recipe import Recipe
from ._stream import SyntheticStream

_DEFAULT_RATIO: Final = 0.25


class UnevenShareWarning(UserWarning):
    """Some classes of a mixed data set are synthetic to a larger part than others."""


def mix(
    real: Any,
    synthetic: SampleSource,
    *,
    seed: int | None = None,
    ratio: RatioLike | None = None,
    balance: bool = False,
    counts: Mapping[str | int, int] | None = None,
    top_up: bool = False,
    truncation: float | None = None,
    spread: float | None = None,
    best_of: int | None = None,
    scorer: str | None = None,
    then: str | Sequence[str] | None = None,
    classes: ClassesLike | None = None,
    images: ImageType | None = None,
    transform: Transform | None = None,
    synthetic_transform: Transform | None = None,
    resize: SizeLike | None = None,
    channels: int | None = None,
    image_key: str = "image",
    label_key: str = "label",
    flag: bool = False,
) -> MixedDataset:
    """Adds synthetic images to a real data set, of every class the same share unless other quotas are asked for.

    A classifier learns whatever tells classes apart. Where most frogs are synthetic and no cat is, that is "looks
    generated". So `ratio` holds for every class alike, and `balance` evens classes out by showing real images of the
    smaller ones more often. `counts` and `top_up` make shares differ, with a warning.

    Args:
        real: a folder with a folder of images for each class; or a map-style data set of ``(image, label)`` or of
            mappings: torchvision's, a `TensorDataset`, a `Subset`, one of Hugging Face. Images are PIL images or uint8
            tensors or arrays, not yet transformed.
        synthetic: a source of a conditional generator, of whose samples the quotas say how many of which class.
        seed: of the samples, and of which real images are shown more often.
        ratio: synthetic images for one real image, 0.25 where nothing else is said; a list has one for each epoch, of
            which the last stays; a function is called with the epoch. The length of the data set follows.
        balance: whether real images of smaller classes are repeated until each class has as many as the largest.
        counts: in place of `ratio`, synthetic images of each class, by name or label.
        top_up: in place of `ratio`, as many synthetic images as a class lacks to be as large as the largest.
        truncation: as in `Client.generate`.
        spread: as in `Client.generate`.
        best_of: as in `Client.generate`.
        scorer: as in `Client.generate`.
        then: as in `Client.generate`.
        classes: the generator's class for each real label, in order, or for real names that differ from the
            generator's. Without it, classes are matched by name.
        images: what images are before the transform, as in `SyntheticDataset`.
        transform: called with each image, real or synthetic.
        synthetic_transform: where the real data set gives no uint8 images, such as floats: makes the same of a
            synthetic image. Real images are then taken as they are.
        resize: height and width, or a side of a square, that all images are brought to; ``"transform"`` where the
            transform does that. Without it, real images have to have the generator's size.
        channels: 1 or 3, that all images are brought to. Without it, real images have to have the generator's.
        image_key: of items that are mappings.
        label_key: of items that are mappings.
        flag: whether an item tells, as its third value or under ``"synthetic"``, whether it is synthetic.

    Raises:
        ConfigError: arguments that cannot be used or exclude each other, an unconditional generator, or classes
            that do not match.
        DatasetError: a real data set that cannot be used, or images that do not go with the generator's.
        InvalidRequestError: a seed, truncation or spread that cannot be used.
        RequestError: the source does not answer.
    """
    _check_exclusive(ratio=ratio, balance=balance or None, counts=counts, top_up=top_up or None)
    recipe = _open_recipe(
        synthetic, seed=seed, truncation=truncation, spread=spread, best_of=best_of, scorer=scorer, then=then
    )
    if isinstance(real, (str, Path)):
        real = ClassFolders(real)
    images_of_real = RealImages(real, image_key=image_key, label_key=label_key)
    generator_names = recipe.model.class_names
    names, matched = match_classes(
        images_of_real.class_names, int(images_of_real.labels.max()) + 1, generator_names, classes
    )
    rule = QuotaRule(
        real_counts=tuple(images_of_real.counts(len(names))),
        ratio=_DEFAULT_RATIO if ratio is None else ratio,
        balance=balance,
        synthetic_counts=None if counts is None else counts_in_order(counts, names),
        top_up=top_up,
    )
    wanted = rule.synthetic_counts or [1] * len(names)
    check_matched(names, matched, wanted, generator_names)
    if uneven := rule.uneven():
        warnings.warn(_describe_uneven(names, uneven), UnevenShareWarning, stacklevel=2)
    presentation = Presentation.choose(images, transform)
    fitting = Fitting.choose(presentation, recipe.shape, resize, channels, synthetic_transform)
    keys = (image_key, label_key) if images_of_real.gives_mappings else None
    return MixedDataset(images_of_real, recipe, rule, fitting, names, matched, keys=keys, flag=flag)


def _check_exclusive(**arguments: Any) -> None:
    """Raises ConfigError where two ways to say the quotas are given, but for balance with a ratio."""
    given = [name for name, value in arguments.items() if value is not None]
    if len(given) > 1 and set(given) != {"ratio", "balance"}:
        raise ConfigError(f"{' and '.join(given)} exclude each other; give one of them, or ratio with balance")


def _open_recipe(synthetic: SampleSource, **options: Any) -> Recipe:
    """Samples of all classes in turns, so that the index tells the class."""
    if isinstance(synthetic, (SyntheticDataset, SyntheticStream)):
        raise ConfigError(
            f"a {type(synthetic).__name__} has a length, labels and indices of its own, and mix chooses those by its "
            f"quotas; give the source itself, as in mix(real, client, seed={synthetic.recipe.seed}, ratio=0.25)"
        )
    recipe = Recipe.open(synthetic, **options)
    if not recipe.model.class_names:
        raise ConfigError("the generator is unconditional, so that its samples have no labels to mix by")
    return recipe.with_labels(range(len(recipe.model.class_names)))


def _describe_uneven(names: Sequence[str], quotas: Sequence[Quota]) -> str:
    shares = [(quota.share, name) for name, quota in zip(names, quotas, strict=True) if quota.real + quota.synthetic]
    (low, least), (high, most) = min(shares), max(shares)
    risk = f"a classifier may learn that what looks generated is {most!r}, which costs accuracy on real images"
    if high == 1:
        return f"there is no real image of {most!r}, so that all of it will be synthetic: {risk}"
    return (
        f"{low:.0%} of {least!r} will be synthetic, and {high:.0%} of {most!r}: {risk}. balance=True evens the classes "
        "out and keeps the synthetic share equal"
    )
