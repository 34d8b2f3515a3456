"""The client for asyncio."""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from types import TracebackType
from typing import Self, Unpack

from numpy.typing import ArrayLike

from ganserve.contract.errors import RequestError, UnavailableError
from ganserve.contract.images import ImageFormatName, Images
from ganserve.contract.interpolation import SeedAndIndex
from ganserve.contract.resizing import ResizeMode

from ._calls.async_calls import AsyncCalls
from ._calls.batches import BatchPlan, read_ahead_async
from ._calls.core import Core, merge_models
from ._calls.profile import Profile, check_repeats
from ._calls.retry_event import OnRetry
from ._queries.input_images import ImageLike
from ._queries.interpolation import interpolated_latents
from ._queries.labels import CountsLike, LabelsLike
from ._queries.options import SampleOptions, check_options
from ._queries.requests import IndicesLike, PriorityName
from ._samples.model_info import ModelInfo
from ._samples.samples import Samples
from ._samples.scores import Scores
from ._transport.access import Access, PathLike, Token
from ._transport.addresses import Target
from ._transport.connections import AsyncConnections
from ._transport.deadline import Deadline


class AsyncClient:
    """Asks ganserve servers for samples, from the tasks of an event loop.

    Takes the same arguments and raises the same errors as `Client`. In place of `Client.submit`, a task is made of a
    call: ``asyncio.create_task(client.generate(64))``; it can be waited for and cancelled, also when it has begun. The
    client connects when it is first used, once in every
    event loop that uses it. asyncio's gRPC does not survive a fork: a process that was forked while one of these was
    open uses `Client`, and gets a RuntimeError here.
    """

    def __init__(
        self,
        target: Target,
        *,
        model: str | None = None,
        version: int | None = None,
        digest: str = "",
        timeout_s: float = 30.0,
        retry_for_s: float | None = None,
        on_retry: OnRetry | None = None,
        hedge_after_s: float | None = None,
        priority: PriorityName | None = None,
        coalesce: bool = False,
        ca: PathLike | None = None,
        cert: PathLike | None = None,
        key: PathLike | None = None,
        token: Token | None = None,
    ) -> None:
        """As `Client`."""
        self._core = Core(target, model, version, digest, timeout_s, retry_for_s, on_retry, hedge_after_s, priority)
        access = Access.of(self._core.addresses, ca, cert, key, token)
        self._connections = AsyncConnections(access, coalesce=coalesce)
        self._calls = AsyncCalls(self._core, self._connections)

    async def generate(
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
        timeout_s: float | None = None,
    ) -> Samples:
        """As `Client.generate`."""
        query = self._core.addressed(
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
        return await self._calls.samples(query, self._core.deadline(timeout_s))

    async def transform(
        self,
        images: Iterable[ImageLike],
        *,
        model: str | None = None,
        masks: Iterable[ImageLike] | None = None,
        label: int | str | None = None,
        seed: int | None = None,
        indices: Iterable[int] | None = None,
        resize: ResizeMode | None = None,
        timeout_s: float | None = None,
    ) -> AsyncIterator[Images]:
        """As `Client.transform`."""
        client = await (self if model is None else self.for_model(model)).pinned(timeout_s=timeout_s)
        for batch in client._core.transforms(images, masks, label, seed, indices, resize):
            samples = await client._calls.samples(batch.query, client._core.deadline(timeout_s))
            for image in batch.images(samples.numpy()):
                yield image

    async def score(
        self,
        images: Iterable[ImageLike],
        *,
        model: str | None = None,
        classes: Sequence[int | str] | None = None,
        timeout_s: float | None = None,
    ) -> Scores:
        """As `Client.score`."""
        client = await (self if model is None else self.for_model(model)).pinned(timeout_s=timeout_s)
        card, queries = client._core.score_queries(images)
        parts = [await client._calls.samples(query, client._core.deadline(timeout_s)) for query in queries]
        return Scores.of(card, parts, classes)

    async def resume(self, error: RequestError, *, timeout_s: float | None = None) -> Samples:
        """As `Client.resume`."""
        return await self._calls.rest(self._core.partial_of(error), self._core.deadline(timeout_s))

    async def generate_from(
        self,
        latents: ArrayLike,
        *,
        labels: LabelsLike | None = None,
        format: ImageFormatName = "raw",  # noqa: A002
        quality: int | None = None,
        timeout_s: float | None = None,
    ) -> Samples:
        """As `Client.generate_from`."""
        query = self._core.explicit(latents, labels=labels, format=format, quality=quality)
        return await self._calls.samples(query, self._core.deadline(timeout_s))

    async def interpolate(
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
        timeout_s: float | None = None,
    ) -> Samples:
        """As `Client.interpolate`."""
        deadline = self._core.deadline(timeout_s)
        card = (await self._calls.model(deadline)).card
        latents = interpolated_latents(card, start, stop, n, labels=labels, truncation=truncation, spread=spread)
        query = self._core.explicit(latents, labels=labels, format=format, quality=quality)
        return await self._calls.samples(query, deadline)

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
        timeout_s: float | None = None,
    ) -> AsyncIterator[Samples]:
        """As `Client.stream`."""
        query = self._core.addressed(
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
        return self._calls.stream(self._core.cursor(query, batch_size), self._core.check_wait(timeout_s))

    def batches(
        self,
        size: int,
        *,
        n: int | None = None,
        prefetch: int = 2,
        timeout_s: float | None = None,
        **options: Unpack[SampleOptions],
    ) -> AsyncGenerator[Samples]:
        """As `Client.batches`. ``contextlib.aclosing`` cancels what is under way as soon as the reader stops."""
        check_options(self.batches, options)
        plan = BatchPlan.check(self._core.addressed(n, endless=True, **options), size, prefetch)
        wait_s = self._core.check_wait(timeout_s)
        return read_ahead_async(
            plan,
            find_model=lambda query: self._calls.model_of(query, Deadline(wait_s)),
            ask=lambda query: self._calls.samples(query, Deadline(wait_s)),
        )

    async def profile(
        self,
        n: int = 64,
        *,
        repeats: int = 20,
        labels: LabelsLike | None = None,
        format: ImageFormatName = "raw",  # noqa: A002
        quality: int | None = None,
        timeout_s: float | None = None,
    ) -> Profile:
        """As `Client.profile`."""
        query = self._core.addressed(n, labels=labels, format=format, quality=quality)
        repeats = check_repeats(repeats)
        return await self._calls.profile(query, repeats, lambda: self._core.deadline(timeout_s))

    async def pinned(self, *, timeout_s: float | None = None) -> AsyncClient:
        """As `Client.pinned`."""
        return self._with(self._core.pinned_to(await self.get_model(timeout_s=timeout_s)))

    def for_model(self, model: str) -> AsyncClient:
        """As `Client.for_model`."""
        return self._with(self._core.for_model(model))

    async def get_model(self, *, timeout_s: float | None = None) -> ModelInfo:
        """As `Client.get_model`."""
        return await self._calls.model(self._core.deadline(timeout_s))

    async def list_models(self, *, timeout_s: float | None = None) -> list[ModelInfo]:
        """As `Client.list_models`."""
        deadline = self._core.deadline(timeout_s)
        return merge_models(await self._calls.answers_of_all(self._core.ask_for_models(), deadline))

    async def wait_until_ready(self, timeout_s: float | None = None) -> None:
        """As `Client.wait_until_ready`."""
        deadline = self._core.deadline(timeout_s)
        try:
            await self._calls.answer(self._core.ask_whether_ready(), self._core.attempts(deadline, patient=True))
        except UnavailableError as error:
            raise self._core.not_ready(error, deadline) from None

    async def close(self) -> None:
        """Closes the channels of the running loop, and lets go of those of other loops."""
        await self._connections.close()

    def _with(self, core: Core) -> AsyncClient:
        """The same client, over the same connections, for the model of another core."""
        client = copy.copy(self)
        client._core = core
        client._calls = AsyncCalls(core, self._connections)
        return client

    def __repr__(self) -> str:
        return self._core.describe(type(self).__name__)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
