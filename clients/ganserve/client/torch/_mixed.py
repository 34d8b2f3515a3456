"""A data set of real and synthetic images."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

from ganserve.client.quotas import Quota
from ganserve.contract.errors import InvalidRequestError

from ._collation import Item
from ._fitting import Fitting
from ._map_style import MapStyle, check_places
from ._plan import ClassOrders, EpochPlan, max_epoch, sample_index
from ._quota_rule import QuotaRule
from ._real import RealImages
from ._recipe import Recipe, check_epoch
from ._shared import SharedNumbers

_FLAG_KEY: Final = "synthetic"


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
        self._labels_digest = hashlib.sha256(real.labels.tobytes()).hexdigest()
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

    def __repr__(self) -> str:
        quotas = self._plan().quotas
        real, synthetic = (sum(getattr(quota, kind) for quota in quotas) for kind in ("real", "synthetic"))
        return (
            f"<{real:,} real and {synthetic:,} synthetic images of {len(quotas)} classes, by "
            f"{self.recipe.model!r}, seed {self.recipe.seed}, epoch {self.epoch}>"
        )

    def _conditions(self, epoch: int) -> dict[str, Any]:
        return {**self._rule.conditions(epoch), "real_labels": self._labels_digest, "classes": list(self._matched)}

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
            return Item((image, label, synthetic) if self._flag else (image, label))
        item = dict(zip(self._keys, (image, label), strict=True))
        return {**item, _FLAG_KEY: synthetic} if self._flag else item
