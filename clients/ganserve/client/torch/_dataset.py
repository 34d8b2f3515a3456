"""Samples as a map-style data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ganserve.client._queries.labels import CountsLike, LabelsLike
from ganserve.client._samples.samples import Samples
from ganserve.client._source import SampleSource
from ganserve.contract.text import counted

from ._collation import Item
from ._epochs import EpochIndices
from ._images import ImageType, Presentation, Transform
from ._map_style import MapStyle, check_places
from ._recipe import Recipe


class SyntheticDataset(MapStyle):
    """So many samples of a source, with an item for each: ``(image, label)``, or the image of an unconditional one.

    Item `i` of epoch `e` is the sample with index ``first_index + e * length + i``, so that every epoch has samples of
    its own and any can be repeated. A batch is fetched in one request. It can be pickled, and used by any number of
    workers.

    Attributes:
        recipe: the samples' source, model, seed and labels.
    """

    def __init__(
        self,
        source: SampleSource,
        length: int | None = None,
        *,
        seed: int,
        labels: LabelsLike | None = None,
        counts: CountsLike | None = None,
        truncation: float | None = None,
        spread: float | None = None,
        best_of: int | None = None,
        scorer: str | None = None,
        then: str | Sequence[str] | None = None,
        first_index: int = 0,
        images: ImageType | None = None,
        transform: Transform | None = None,
    ) -> None:
        """Asks the source for its model.

        Args:
            source: a `Client`, of one or several servers, or a `LocalGenerator`.
            length: samples an epoch; `counts` say it themselves.
            seed: as in `Client.generate`; needed here, so that the data set can be made again.
            labels: as in `Client.generate`.
            counts: as in `Client.generate`.
            truncation: as in `Client.generate`.
            spread: as in `Client.generate`.
            best_of: as in `Client.generate`.
            scorer: as in `Client.generate`.
            then: as in `Client.generate`.
            first_index: index of the first sample of epoch 0.
            images: what an image is: ``"tensor"``, uint8 (C, H, W); ``"pil"``; or ``"numpy"``, uint8 (H, W, C).
                Without it tensors, or arrays where `transform` is of albumentations.
            transform: called with each image.

        Raises:
            ConfigError: no source, or `images` or a `transform` that cannot be used.
            InvalidRequestError: a length, seed, labels, counts, index, truncation or spread that cannot be used.
            RequestError: the source does not answer.
        """
        self.recipe = Recipe.open(
            source,
            seed=seed,
            labels=labels,
            counts=counts,
            truncation=truncation,
            spread=spread,
            best_of=best_of,
            scorer=scorer,
            then=then,
        )
        self._length = self.recipe.check_length(self.recipe.num_counted if length is None else length)
        self._epochs = EpochIndices(self._length, first_index)
        self._presentation = Presentation.choose(images, transform)

    def __len__(self) -> int:
        return self._length

    def __getitems__(self, places: Sequence[int]) -> list[Any]:
        start = self._epochs.start_of(self.epoch)
        samples = self.recipe.fetch([start + place for place in check_places(places, self._length)])
        return present_samples(samples, self._presentation)

    def set_epoch(self, epoch: int) -> None:
        """Turns to the samples of an epoch, counted from 0; workers that persist follow.

        Raises:
            InvalidRequestError: no whole number from 0, or one so large that there are no indices left.
        """
        self._epochs.turn_to(epoch)

    @property
    def epoch(self) -> int:
        """The epoch whose samples the items are."""
        return self._epochs.epoch

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in label order; none for an unconditional generator."""
        return list(self.recipe.model.class_names)

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Label of each class."""
        return {name: label for label, name in enumerate(self.classes)}

    @property
    def targets(self) -> list[int]:
        """The label of every item of this epoch, worked out without asking anyone."""
        if not self.classes:
            raise AttributeError("the generator is unconditional, so that its samples have no labels")
        return self.recipe.labels_of(self._epochs.start_of(self.epoch), self._length).tolist()  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return (
            f"<{counted(self._length, 'sample')} of {self.recipe.model!r}, seed {self.recipe.seed}, epoch {self.epoch}>"
        )

    def _conditions(self, epoch: int) -> dict[str, Any]:  # noqa: ARG002
        return self._epochs.address()


def present_samples(samples: Samples, presentation: Presentation) -> list[Any]:
    """An item a sample: its image and, where there is one, its label."""
    images = [presentation.present(pixels) for pixels in samples]
    return images if samples.labels is None else [*map(Item, zip(images, samples.labels.tolist(), strict=True))]
