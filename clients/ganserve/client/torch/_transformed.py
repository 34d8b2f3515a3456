"""Real images that a translator has transformed, on their way into training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from ganserve.client._client import Client
from ganserve.client._local import LocalGenerator
from ganserve.contract.errors import ConfigError, DatasetError, InvalidRequestError
from ganserve.contract.resizing import ResizeMode

from ._folder import ClassFolders
from ._images import ImageType, Presentation, Transform, to_pixels


class Transformed(Dataset[Any]):
    """A map-style data set whose images pass through a translator; all else of its items stays as it is.

    Items of one batch are transformed in one call. The translator is pinned when the data set is made.
    """

    def __init__(
        self,
        real: Any,
        translator: Client | LocalGenerator,
        *,
        images: ImageType | None = None,
        transform: Transform | None = None,
        image_key: str = "image",
        resize: ResizeMode | None = None,
    ) -> None:
        """Asks the source for its model.

        Args:
            real: a folder with a folder of images for each class, or a map-style data set of ``(image, …)`` or of
                mappings, as for `mix`: PIL images or uint8 tensors or arrays, not yet transformed.
            translator: a client of a translator, as in ``client.for_model("night")``, or a `LocalGenerator`.
            images: what an image is, as in `SyntheticDataset`.
            transform: called with each transformed image.
            image_key: of items that are mappings.
            resize: how images of other sizes are brought to the translator's, as in `Client.transform`.

        Raises:
            ConfigError: no such source, or `images` or a `transform` that cannot be used.
            RequestError: the source does not answer.
        """
        if not callable(getattr(translator, "transform", None)):
            raise ConfigError(f"{translator!r} transforms nothing; give a Client or a LocalGenerator of a translator")
        self._real = ClassFolders(real) if isinstance(real, (str, Path)) else real
        self._translator = translator.pinned()
        self._presentation = Presentation.choose(images, transform)
        self._image_key = image_key
        self._resize = resize

    def __len__(self) -> int:
        return len(self._real)

    def __getitem__(self, place: int) -> Any:
        return self.__getitems__([place])[0]

    def __getitems__(self, places: Sequence[int]) -> list[Any]:
        read = getattr(self._real, "__getitems__", None)
        items = read(list(places)) if callable(read) else [self._real[place] for place in places]
        pixels = [
            to_pixels(self._image_of(item), f"real image {place}") for item, place in zip(items, places, strict=True)
        ]
        try:
            made = list(self._translator.transform(map(np.ascontiguousarray, pixels), resize=self._resize))
        except InvalidRequestError as error:
            raise DatasetError(f"real images cannot be transformed: {error}") from error
        return [
            self._with_image(item, self._presentation.present(image)) for item, image in zip(items, made, strict=True)
        ]

    def __getattr__(self, name: str) -> Any:
        """What the data set tells of itself, such as `targets` and `classes`."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._real, name)

    def _image_of(self, item: Any) -> Any:
        return item[self._image_key] if isinstance(item, Mapping) else item[0]

    def _with_image(self, item: Any, image: Any) -> Any:
        if isinstance(item, Mapping):
            return {**item, self._image_key: image}
        return (image, *item[1:])
