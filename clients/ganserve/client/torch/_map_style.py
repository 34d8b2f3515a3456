"""What map-style data sets have in common that fetch a batch at once."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from torch.utils.data import Dataset, get_worker_info

from ganserve.contract.errors import ConfigError

from ._ranks import current_worker
from ._recipe import Recipe, check_epoch

_ITERATED_AT_ONCE: Final = 64


class MapStyle(Dataset[Any], ABC):
    """Items by number, any of them at once, and other ones in every epoch.

    Attributes:
        recipe: the samples' source, model, seed and labels.
    """

    recipe: Recipe

    @abstractmethod
    def __len__(self) -> int:
        """Items of the present epoch."""

    @abstractmethod
    def __getitems__(self, places: Sequence[int]) -> list[Any]:
        """The items at these places, with one request for all synthetic ones.

        Raises:
            IndexError: a place beyond the last.
            RequestError: the source does not answer.
        """

    @property
    @abstractmethod
    def epoch(self) -> int:
        """The epoch whose items these are."""

    @abstractmethod
    def set_epoch(self, epoch: int) -> None:
        """Turns to the items of an epoch, counted from 0; workers that persist follow."""

    @abstractmethod
    def _conditions(self, epoch: int) -> dict[str, Any]:
        """What an epoch's items depend on beside the recipe, in plain values."""

    def state_dict(self) -> dict[str, Any]:
        """The epoch, and what tells whether the items are the same; a `StatefulDataLoader` saves it for each worker."""
        _, num_workers = current_worker()
        identity = self.recipe.identity(**self._conditions(self.epoch))
        return {**identity, "epoch": self.epoch, "num_workers": num_workers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Turns to the epoch of a saved state.

        Raises ConfigError for no such state, where it was saved of other items, and in a worker of a loader that has
        another number of them.
        """
        if not isinstance(state, Mapping) or "epoch" not in state:
            raise ConfigError(
                "there is no state of a data set in what was loaded; give what its state_dict() gave, and load a "
                "loader's state into the loader"
            )
        epoch = check_epoch(state["epoch"])
        self.recipe.check_identity(state, **self._conditions(epoch))
        _check_workers(state)
        self.set_epoch(epoch)

    def __getitem__(self, place: int) -> Any:
        return self.__getitems__([place])[0]

    def __iter__(self) -> Iterator[Any]:
        length = len(self)
        for start in range(0, length, _ITERATED_AT_ONCE):
            yield from self.__getitems__(range(start, min(start + _ITERATED_AT_ONCE, length)))


def check_places(places: Sequence[int], length: int) -> list[int]:
    """Places as ints from 0; those below 0 count from the end. Raises IndexError or TypeError."""
    return [_check_place(place, length) for place in places]


def _check_workers(state: Mapping[str, Any]) -> None:
    """Raises ConfigError in a worker of a loader that has more or fewer of them than the one whose state is loaded."""
    worker = get_worker_info()
    if worker is not None and state.get("num_workers") != worker.num_workers:
        raise ConfigError(
            f"the loader's state was saved with num_workers={state.get('num_workers')}, and this loader has "
            f"{worker.num_workers}; a map-style data set goes on with as many workers as before, a SyntheticStream "
            "with any number"
        )


def _check_place(place: int, length: int) -> int:
    number = operator.index(place)
    if not -length <= number < length:
        raise IndexError(f"item {number} of a data set of {length}")
    return number % length
