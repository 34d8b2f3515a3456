"""Samples as an iterable data set."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final

from torch.utils.data import IterableDataset

from ganserve.client._queries.checks import whole_number
from ganserve.client._queries.labels import CountsLike, LabelsLike
from ganserve.client._source import SampleSource
from ganserve.contract.text import counted

from ._ahead import RequestsAhead
from ._collation import Item
from ._epochs import EpochIndices
from ._images import ImageType, Presentation, Transform
from ._progress import Progress, Resume, find_states, join_states, save
from ._ranks import Ranks, current_worker
from ._recipe import Recipe
from ._shards import Layout, Place, Shard, Span

_ENDLESS: Final = 2**40  # samples of an epoch that has no end


class SyntheticStream(IterableDataset[Any]):
    """Samples of a source one after the other: ``(image, label)``, or the image of an unconditional generator.

    Epoch `e` has the indices from ``first_index + e * length`` on, or, without a length, every epoch has 2^40 of its
    own. Workers of a `DataLoader`, and ranks of a training that is spread over processes, share them by index, so that
    no sample comes twice however many they are. Give `DataLoader` the same batch size as the stream: then batches come
    in the order of indices, whatever the number of workers.

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
        batch_size: int = 64,
        prefetch: int = 2,
        rank: int | None = None,
        num_ranks: int | None = None,
        images: ImageType | None = None,
        transform: Transform | None = None,
    ) -> None:
        """Asks the source for its model.

        Args:
            source: a `Client`, of one or several servers, or a `LocalGenerator`.
            length: samples an epoch, of all ranks together; without it, there is no end.
            seed: as in `Client.generate`; needed here, so that the stream can be made again.
            labels: as in `Client.generate`.
            counts: as in `Client.generate`.
            truncation: as in `Client.generate`.
            spread: as in `Client.generate`.
            best_of: as in `Client.generate`.
            scorer: as in `Client.generate`.
            then: as in `Client.generate`.
            first_index: index of the first sample of epoch 0.
            batch_size: samples a request, which a worker takes in a row.
            prefetch: requests that each worker has under way ahead of its reader.
            rank: which of the processes that train together this is, with `num_ranks`. Without them, as
                `torch.distributed` says, or torchrun's environment.
            num_ranks: how many there are.
            images: as in `SyntheticDataset`.
            transform: called with each image.

        Raises:
            ConfigError: no source, a rank without the number of ranks, or `images` or a `transform` that cannot be
                used.
            InvalidRequestError: a number, labels, counts, a truncation or a spread that cannot be used.
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
        self._has_end = length is not None
        self._length = _ENDLESS if length is None else self.recipe.check_length(length)
        self._epochs = EpochIndices(self._length, first_index)
        self._batch_size = whole_number(batch_size, "batch_size", low=1, high=2**32 - 1, field="batch_size")
        self._prefetch = whole_number(prefetch, "prefetch", low=1, high=256, field="prefetch")
        self._ranks = Ranks(rank, num_ranks)
        self._presentation = Presentation.choose(images, transform)
        self._resume: Resume | None = None
        self._reader: _Reader | None = None

    def __iter__(self) -> Iterator[Any]:
        (rank, num_ranks), (worker, num_workers) = self._ranks.now(), current_worker()
        place, layout = Place(rank, worker), Layout(num_ranks, num_workers, self._batch_size)
        progress = self._resume.take(worker) if self._resume else None
        if progress is None or progress.epoch != self.epoch:
            progress = Progress(self.epoch, (), None, {})
        self._reader = _Reader(self, progress, place, layout)
        return self._reader

    def __len__(self) -> int:
        """Samples of an epoch that this rank gets. Raises TypeError for a stream without end."""
        if not self._has_end:
            raise TypeError("the stream has no end, so no length; give it one, or count the steps")
        rank, num_ranks = self._ranks.now()
        return Shard.of_all(self._length, Layout(num_ranks, 1, self._batch_size), rank).count

    def set_epoch(self, epoch: int) -> None:
        """Turns to the samples of an epoch, counted from 0; workers that persist follow when they begin anew.

        Raises:
            InvalidRequestError: no whole number from 0, or one so large that there are no indices left.
        """
        self._epochs.turn_to(epoch)

    @property
    def epoch(self) -> int:
        """The epoch whose samples come next."""
        return self._epochs.epoch

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in label order; none for an unconditional generator."""
        return list(self.recipe.model.class_names)

    def start_at(self, position: int) -> None:
        """Goes on, in the present epoch, behind the first `position` samples, those of all workers and ranks counted.

        For a plain `DataLoader`, after so many batches: ``batches * batch_size * num_ranks``.
        """
        position = whole_number(position, "position", low=0, high=self._length, field="position")
        self._reader = None
        self._resume = Resume(Progress(self.epoch, (Span(0, position),), None, {}))

    def state_dict(self) -> dict[str, Any]:
        """How far this process has read; a `StatefulDataLoader` saves it for each worker.

        With workers, ask the loader for its state: the stream in the main process knows nothing of what they read.
        """
        state = self._reader.state() if self._reader else self._unread()
        return {**self.recipe.identity(**self._epochs.address()), **state}

    def load_state_dict(self, saved: Any) -> None:
        """Goes on from a saved state the next time that it is iterated.

        Args:
            saved: a state of the stream; that of a `StatefulDataLoader`, however many workers it had; or a list of
                those of all ranks. One rank's is enough where all had taken as many batches.

        Raises:
            ConfigError: no such state, states of different moments, or one that was saved of other samples.
        """
        states = find_states(saved)
        for state in states:
            self.recipe.check_identity(state, **self._epochs.address())
        progress = join_states(states)
        self.set_epoch(progress.epoch)
        self._reader = None
        self._resume = Resume(progress)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_reader": None}

    def __repr__(self) -> str:
        length = counted(self._length, "sample") if self._has_end else "a stream of samples"
        return f"<{length} of {self.recipe.model!r}, seed {self.recipe.seed}, epoch {self.epoch}>"

    def _unread(self) -> dict[str, Any]:
        progress = self._resume.progress if self._resume and self._resume.progress.epoch == self.epoch else None
        return save(self.epoch, None, Place(0, 0), progress.all_used(self._length) if progress else (), 0)


class _Reader(Iterator[Any]):
    """The samples of one worker, with requests under way for those that come next."""

    def __init__(self, stream: SyntheticStream, progress: Progress, place: Place, layout: Layout) -> None:
        self._recipe = stream.recipe
        self._present = stream._presentation.present
        self._first_index = stream._epochs.start_of(progress.epoch)
        self._prefetch = stream._prefetch
        self._progress = progress
        self._place = place
        self._shard, self._taken = progress.go_on(place, layout, stream._length)
        self._waiting: deque[Any] = deque()
        self._requests: RequestsAhead | None = None

    def __next__(self) -> Any:
        if not self._waiting:
            self._waiting.extend(self._next_samples())
        image, *label = self._waiting.popleft()
        self._taken += 1
        image = self._present(image)
        return Item((image, *label)) if label else image

    def state(self) -> dict[str, Any]:
        used = self._shard.unused.used
        return save(self._progress.epoch, self._shard, self._place, used, self._taken)

    def _next_samples(self) -> Iterator[Any]:
        """The pixels and labels of the next block. Raises StopIteration, and RequestError after which it may go on."""
        if self._requests is None or not self._requests.is_usable():
            self._requests = RequestsAhead(self._recipe, self._prefetch, self._blocks(self._taken))
        samples = self._requests.next()
        columns = [samples] if samples.labels is None else [samples, samples.labels.tolist()]
        return zip(*columns, strict=True)

    def _blocks(self, start: int) -> Iterator[list[int]]:
        """Indices of each block from a shard's `start`-th sample on."""
        size = self._shard.layout.block_size
        while start < self._shard.count:
            stop = min(start - start % size + size, self._shard.count)
            spans = self._shard.spans(start, stop)
            yield [self._first_index + position for span in spans for position in range(*span)]
            start = stop
