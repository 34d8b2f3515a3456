"""The samples of a bundle in this process, with the methods of a client and without a server."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

from numpy.typing import ArrayLike

from ganserve.contract.errors import ArtifactError, CallCancelledError, ConfigError
from ganserve.contract.extras import install_advice
from ganserve.contract.images import ImageFormatName, Images
from ganserve.contract.interpolation import SeedAndIndex
from ganserve.contract.resizing import ResizeMode
from ganserve.v1.generator_pb2 import ModelSelector, SampleQuery

from ._calls.batches import BatchPlan, read_ahead
from ._calls.submissions import CALLS_AT_ONCE, Submissions, SubmittedCall
from ._queries.checks import whole_number
from ._queries.input_images import ImageLike
from ._queries.interpolation import interpolated_latents
from ._queries.labels import CountsLike, LabelsLike, label_policy
from ._queries.options import SampleOptions, check_options, sample_query
from ._queries.parts import num_samples, part
from ._queries.requests import IndicesLike, image_encoding, latents_query
from ._queries.scoring import score_queries
from ._queries.transforms import batches
from ._samples.memory import check_fits
from ._samples.model_info import ModelInfo
from ._samples.samples import Samples
from ._samples.scores import Scores

if TYPE_CHECKING:
    from ganserve.runtime.local import LocalModel


class LocalGenerator:
    """Makes the samples of one bundle in this process: the same bytes as `Client`, by the same methods.

    But for `resume`, `profile` and `wait_until_ready`, which are about servers.

    For notebooks, tests and bulk work on many machines. The methods take no `timeout_s`, for nobody is waited for.
    The bundle is read, verified and warmed up when it is first used, as a server does it, once in every process: a
    forked `DataLoader` worker loads it anew, and a spawned one gets a copy that does the same. Any number of threads
    may share one. Needs the extra `serve`.

    Every method raises `InvalidRequestError` where an argument cannot be used, and `ArtifactError` where the bundle
    cannot be served.
    """

    def __init__(self, bundle: str | Path, *, device: Literal["auto", "cpu", "cuda"] = "auto") -> None:
        """Reads nothing yet.

        Args:
            bundle: its folder, `MODELS/NAME/VERSION`.
            device: what to run on; `auto` is CUDA where there is a GPU, else the CPU.

        Raises:
            ArtifactError: there is no such folder.
        """
        self._bundle = Path(bundle)
        if not self._bundle.is_dir():
            raise ArtifactError(f"{bundle} is not a folder; give that of a bundle, such as models/digits/1")
        self._device = device
        self._closed = False
        self._by_process: dict[int, LocalModel] = {}
        self._submissions = Submissions(CALLS_AT_ONCE)

    def generate(
        self,
        n: int | None = None,
        *,
        seed: int | None = None,
        first_index: int = 0,
        indices: IndicesLike | None = None,
        labels: LabelsLike | None = None,
        counts: CountsLike | None = None,
        truncation: float | None = None,
        spread: float | None = None,
        best_of: int | None = None,
        scorer: str | None = None,
        then: str | Sequence[str] | None = None,
        format: ImageFormatName = "raw",  # noqa: A002
        quality: int | None = None,
    ) -> Samples:
        """As `Client.generate`."""
        query = sample_query(
            self._selector(),
            n,
            seed=seed,
            first_index=first_index,
            indices=indices,
            labels=labels,
            counts=counts,
            truncation=truncation,
            spread=spread,
            best_of=best_of,
            scorer=scorer,
            then=then,
            format=format,
            quality=quality,
        )
        return self._answer(query)

    def submit(self, n: int | None = None, **options: Unpack[SampleOptions]) -> Future[Samples]:
        """As `Client.submit`. Up to 8 calls share what the model runs on."""
        check_options(self.submit, options)
        query = sample_query(self._selector(), n, **options)
        return self._submissions.submit(lambda: self._answer(query))

    def generate_from(
        self,
        latents: ArrayLike,
        *,
        labels: LabelsLike | None = None,
        format: ImageFormatName = "raw",  # noqa: A002
        quality: int | None = None,
    ) -> Samples:
        """As `Client.generate_from`."""
        query = latents_query(self._selector(), latents, labels=labels, encoding=image_encoding(format, quality))
        return self._answer(query)

    def interpolate(
        self,
        start: SeedAndIndex,
        stop: SeedAndIndex,
        n: int,
        *,
        labels: LabelsLike | None = None,
        truncation: float | None = None,
        spread: float | None = None,
        format: ImageFormatName = "raw",  # noqa: A002
        quality: int | None = None,
    ) -> Samples:
        """As `Client.interpolate`."""
        card = self.get_model().card
        latents = interpolated_latents(card, start, stop, n, labels=labels, truncation=truncation, spread=spread)
        return self.generate_from(latents, labels=labels, format=format, quality=quality)

    def transform(
        self,
        images: Iterable[ImageLike],
        *,
        masks: Iterable[ImageLike] | None = None,
        label: int | str | None = None,
        seed: int | None = None,
        indices: Iterable[int] | None = None,
        resize: ResizeMode | None = None,
    ) -> Iterator[Images]:
        """As `Client.transform`."""
        card = self.get_model().card
        for batch in batches(self._selector(), card, images, masks, label_policy(label), seed, indices, resize):
            yield from batch.images(self._answer(batch.query).numpy())

    def score(self, images: Iterable[ImageLike], *, classes: Sequence[int | str] | None = None) -> Scores:
        """As `Client.score`."""
        card = self.get_model().card
        parts = [self._answer(query) for query in score_queries(self._selector(), card, images)]
        return Scores.of(card, parts, classes)

    def stream(
        self,
        n: int | None = None,
        *,
        batch_size: int | None = None,
        seed: int | None = None,
        first_index: int = 0,
        labels: LabelsLike | None = None,
        counts: CountsLike | None = None,
        truncation: float | None = None,
        spread: float | None = None,
        best_of: int | None = None,
        scorer: str | None = None,
        then: str | Sequence[str] | None = None,
        format: ImageFormatName = "raw",  # noqa: A002
        quality: int | None = None,
    ) -> Iterator[Samples]:
        """As `Client.stream`."""
        if batch_size is not None:
            batch_size = whole_number(batch_size, "batch_size", low=1, high=2**32 - 1, field="max_batch_size")
        query = sample_query(
            self._selector(),
            n,
            seed=seed,
            first_index=first_index,
            labels=labels,
            counts=counts,
            truncation=truncation,
            spread=spread,
            best_of=best_of,
            scorer=scorer,
            then=then,
            format=format,
            quality=quality,
            endless=True,
        )
        self._model()
        return self._stream(query, batch_size)

    def batches(
        self, size: int, *, n: int | None = None, prefetch: int = 2, **options: Unpack[SampleOptions]
    ) -> Generator[Samples]:
        """As `Client.batches`."""
        check_options(self.batches, options)
        query = sample_query(self._selector(), n, endless=True, **options)
        plan = BatchPlan.check(query, size, prefetch)
        threads = Submissions(max(1, prefetch))
        return read_ahead(
            plan,
            find_model=lambda _: self.get_model(),
            begin=lambda query: SubmittedCall(threads, lambda: self._answer(query)),
        )

    def pinned(self) -> LocalGenerator:
        """As `Client.pinned`: itself, for a bundle is always the same model."""
        return self

    def get_model(self) -> ModelInfo:
        """What a server would tell of the model: identity, card and what it runs on."""
        return ModelInfo(self._model().describe())

    def list_models(self) -> list[ModelInfo]:
        """The one model."""
        return [self.get_model()]

    def close(self) -> None:
        """Frees this process's model, for good. Calls under way end with `CallCancelledError`, others are cancelled."""
        self._closed = True
        self._submissions.close()
        if model := self._by_process.pop(os.getpid(), None):
            model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"LocalGenerator({str(self._bundle)!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_by_process": {}}

    def _answer(self, query: SampleQuery) -> Samples:
        with self._unless_closed():
            check_fits(query, self.get_model())
            return Samples.from_batch(self._model().answer(query), query.address)

    def _stream(self, query: SampleQuery, batch_size: int | None) -> Iterator[Samples]:
        num_made, total = 0, num_samples(query)
        with self._unless_closed():
            while num_made < total:
                model = self._model()
                for batch in model.answer_in_parts(part(query, num_made, total - num_made), batch_size):
                    num_made += batch.count
                    yield Samples.from_batch(batch, query.address)
                    if self._model() is not model:  # this is a forked process, which has one of its own
                        break

    @contextmanager
    def _unless_closed(self) -> Iterator[None]:
        """Raises CallCancelledError where the generator is closed in the meantime, and its model freed."""
        self._check_open()
        try:
            yield
        except (CancelledError, RuntimeError):
            if self._closed:
                raise CallCancelledError("the generator was closed during the call") from None
            raise

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this generator is closed; make another")

    def _selector(self) -> ModelSelector:
        return ModelSelector(name=self._bundle.absolute().parent.name)

    def _model(self) -> LocalModel:
        """This process's model, which is loaded at need."""
        self._check_open()
        model = self._by_process.get(os.getpid())
        if model is None:
            loaded = _load(self._bundle, self._device)
            # No lock: a child could inherit it locked. Where threads race, the first one's model stays.
            model = self._by_process.setdefault(os.getpid(), loaded)
            if model is not loaded:
                loaded.close()
        return model


def _load(bundle: Path, device: Literal["auto", "cpu", "cuda"]) -> LocalModel:
    try:
        from ganserve.runtime.local import LocalModel
    except ImportError as error:
        raise ConfigError(
            f"a bundle cannot be run here, because {error.name} is not installed; {install_advice('serve')}"
        ) from error
    return LocalModel(bundle, device=device)
