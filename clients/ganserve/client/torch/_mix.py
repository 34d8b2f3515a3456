"""Synthetic samples mixed into a real data set."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ganserve.client._source import SampleSource
from ganserve.client.quotas import Quota
from ganserve.contract.errors import ConfigError, InvalidRequestError

from ._dataset import SyntheticDataset
from ._fitting import Fitting, SizeLike
from ._folder import ClassFolders
from ._images import ImageType, Presentation, Transform
from ._map_style import MapStyle, check_places
from ._matching import ClassesLike, check_matched, match_classes
from ._plan import ClassOrders, EpochPlan, max_epoch, sample_index
from ._quota_rule import QuotaRule, RatioLike, counts_in_order
from ._real import RealImages
from ._recipe import Recipe, check_epoch
from ._shared import SharedNumbers

_DEFAULT_RATIO: Final = 0.25
_FLAG_KEY: Final = "synthetic"


class UnevenShareWarning(UserWarning):
    """Some classes of a mixed data set are synthetic to a larger part than others."""


def mix(
    real: Any,
    synthetic: SampleSource | SyntheticDataset,
    *,
    seed: int | None = None,
    ratio: RatioLike | None = None,
    balance: bool = False,
    counts: Mapping[str | int, int] | None = None,
    top_up: bool = False,
    truncation: float | None = None,
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
        synthetic: a source of a conditional generator; or a `SyntheticDataset`, of which the source, seed and
            truncation are taken, and all else is as the quotas say.
        seed: of the samples, and of which real images are shown more often.
        ratio: synthetic images for one real image, 0.25 where nothing else is said; a list has one for each epoch, of
            which the last stays; a function is called with the epoch. The length of the data set follows.
        balance: whether real images of smaller classes are repeated until each class has as many as the largest.
        counts: in place of `ratio`, synthetic images of each class, by name or label.
        top_up: in place of `ratio`, as many synthetic images as a class lacks to be as large as the largest.
        truncation: as in `Client.generate`.
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
        ConfigError: arguments that cannot be used or exclude each other, or classes that do not match.
        DatasetError: a real data set that cannot be used, or images that do not go with the generator's.
        InvalidRequestError: a seed or truncation that cannot be used, or an unconditional generator.
        RequestError: the source does not answer.
    """
    _check_exclusive(ratio=ratio, balance=balance or None, counts=counts, top_up=top_up or None)
    recipe = _open_recipe(synthetic, seed, truncation)
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
    fitting = Fitting.choose(presentation, recipe.model.image_shape, resize, channels, synthetic_transform)
    keys = (image_key, label_key) if images_of_real.gives_mappings else None
    return MixedDataset(images_of_real, recipe, rule, fitting, names, matched, keys=keys, flag=flag)


class MixedDataset(MapStyle):
    """Real and synthetic images with their labels, as `mix` makes it.

    Items are ``(image, label)``, or mappings where the real ones are. First come all real images in their own order,
    then those that are shown again, then the synthetic ones: shuffle it. Every epoch has synthetic images of its own,
    and its own real images that are shown again; see `set_epoch`. A batch's synthetic images are fetched in one
    request.

    Attributes:
        recipe: the synthetic images' source, model and seed.
    """

    def __init__(
        self,
        real: RealImages,
        recipe: Recipe,
        rule: QuotaRule,
        fitting: Fitting,
        names: Sequence[str],
        matched: Sequence[int | None],
        *,
        keys: tuple[str, str] | None,
        flag: bool,
    ) -> None:
        """Of checked parts; `mix` makes it."""
        self.recipe = recipe
        self._real = real
        self._rule = rule
        self._fitting = fitting
        self._names = tuple(names)
        self._matched = tuple(matched)
        self._keys = keys
        self._flag = flag
        self._orders = ClassOrders(real.labels, len(names), recipe.seed)
        self._epoch = SharedNumbers()
        self._planned: EpochPlan | None = None
        self._check_images()

    def __len__(self) -> int:
        return len(self._plan())

    def __getitems__(self, places: Sequence[int]) -> list[Any]:
        plan = self._plan()
        items = check_places(places, len(plan))
        real = iter(self._real_items([plan.real_place(item) for item in items if item < plan.num_real]))
        synthetic = iter(self._synthetic_items(plan, [item for item in items if item >= plan.num_real]))
        return [next(real) if item < plan.num_real else next(synthetic) for item in items]

    def set_epoch(self, epoch: int) -> None:
        """Turns to the images of an epoch, counted from 0; workers that persist follow.

        Raises:
            InvalidRequestError: no whole number from 0, or one so large that there are no indices left.
            ConfigError: a ratio of this epoch that cannot be.
        """
        epoch = check_epoch(epoch)
        last = max_epoch(len(self.recipe.model.class_names))
        if epoch > last:
            raise InvalidRequestError(f"epoch is {epoch}; there are indices up to epoch {last}", field="epoch")
        self._rule.quotas(epoch)
        self._epoch[0] = epoch

    @property
    def epoch(self) -> int:
        """The epoch whose images the items are."""
        return self._epoch[0]

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of the real labels."""
        return list(self._names)

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Label of each class."""
        return {name: label for label, name in enumerate(self._names)}

    @property
    def targets(self) -> list[int]:
        """The label of every item of this epoch."""
        return self._plan().labels.tolist()  # type: ignore[no-any-return]

    @property
    def quotas(self) -> dict[str, Quota]:
        """Real and synthetic images of each class in this epoch."""
        return dict(zip(self._names, self._plan().quotas, strict=True))

    def is_synthetic(self, place: int) -> bool:
        """Whether an item of this epoch is synthetic. Raises IndexError for a place beyond its length."""
        plan = self._plan()
        return check_places([place], len(plan))[0] >= plan.num_real

    def state_dict(self) -> dict[str, Any]:
        """The epoch, and what tells whether the images are the same; a `StatefulDataLoader` saves it."""
        return {**self.recipe.identity(real_counts=list(self._rule.real_counts)), "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Turns to the epoch of a saved state. Raises ConfigError where it was saved of other images."""
        self.recipe.check_identity(state, real_counts=list(self._rule.real_counts))
        self.set_epoch(state["epoch"])

    def __repr__(self) -> str:
        quotas = self._plan().quotas
        real, synthetic = (sum(getattr(quota, kind) for quota in quotas) for kind in ("real", "synthetic"))
        return (
            f"<{real:,} real and {synthetic:,} synthetic images of {len(quotas)} classes, by "
            f"{self.recipe.model!r}, seed {self.recipe.seed}, epoch {self.epoch}>"
        )

    def _plan(self) -> EpochPlan:
        epoch = self.epoch
        plan = self._planned
        if plan is None or plan.epoch != epoch:
            plan = EpochPlan(epoch, self._rule.quotas(epoch), self._real.labels, self._orders)
            self._planned = plan
        return plan

    def _check_images(self) -> None:
        """Raises DatasetError where the first image of either kind shows that they do not go together."""
        (first,) = self._real.images([0])
        self._fitting.real(first, 0)
        if self._fitting.synthetic_transform is not None:
            self._fitting.check_alike(first, self.recipe.fetch([0]).numpy()[0])

    def _real_items(self, places: list[int]) -> list[Any]:
        images = self._real.images(places)
        return [
            self._item(self._fitting.real(image, place), int(self._real.labels[place]), False)
            for image, place in zip(images, places, strict=True)
        ]

    def _synthetic_items(self, plan: EpochPlan, items: list[int]) -> list[Any]:
        if not items:
            return []
        places = [plan.synthetic_place(item) for item in items]
        samples = self.recipe.fetch([self._sample_index(plan.epoch, label, number) for label, number in places])
        return [
            self._item(self._fitting.synthetic(pixels), label, True)
            for pixels, (label, _) in zip(samples, places, strict=True)
        ]

    def _sample_index(self, epoch: int, label: int, number: int) -> int:
        own_label = self._matched[label]
        assert own_label is not None, "a class without samples has no synthetic items"  # noqa: S101
        return sample_index(epoch, own_label, number, len(self.recipe.model.class_names))

    def _item(self, image: Any, label: int, synthetic: bool) -> Any:
        if self._keys is None:
            return (image, label, synthetic) if self._flag else (image, label)
        item = dict(zip(self._keys, (image, label), strict=True))
        return {**item, _FLAG_KEY: synthetic} if self._flag else item


def _check_exclusive(**arguments: Any) -> None:
    """Raises ConfigError where two ways to say the quotas are given, but for balance with a ratio."""
    given = [name for name, value in arguments.items() if value is not None]
    if len(given) > 1 and set(given) != {"ratio", "balance"}:
        raise ConfigError(f"{' and '.join(given)} exclude each other; give one of them, or ratio with balance")


def _open_recipe(synthetic: SampleSource | SyntheticDataset, seed: int | None, truncation: float | None) -> Recipe:
    """Samples of all classes in turns, so that the index tells the class."""
    if isinstance(synthetic, SyntheticDataset):
        if synthetic.has_transform:
            raise ConfigError("the SyntheticDataset has a transform; give it to mix, which applies it to all images")
        of_dataset = synthetic.recipe
        seed = of_dataset.seed if seed is None else seed
        truncation = of_dataset.truncation if truncation is None else truncation
        synthetic = of_dataset.source
    recipe = Recipe.open(synthetic, seed=seed, truncation=truncation)
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
