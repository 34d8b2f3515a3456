"""The client for threads."""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Self, Unpack

from numpy.typing import ArrayLike

from ganserve.contract.errors import RequestError, UnavailableError
from ganserve.contract.images import ImageFormatName, Images
from ganserve.contract.interpolation import SeedAndIndex
from ganserve.contract.resizing import ResizeMode

from ._calls.batches import BatchPlan, read_ahead
from ._calls.calls import Calls
from ._calls.core import Core, merge_models
from ._calls.profile import Profile, check_repeats
from ._calls.retry_event import OnRetry
from ._calls.submissions import CALLS_AT_ONCE, Submissions
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
from ._transport.connections import Connections
from ._transport.deadline import Deadline


class Client:
    """Asks ganserve servers for samples. Any number of threads may share one.

    It connects when it is first used, once in every process: a forked `DataLoader` worker opens a channel of its own,
    and a spawned one gets a copy of the client that does the same. Streams that were begun before a fork go on in both.

    A server that is unavailable, or has no room and says when there may be, is asked again until the call's time is up,
    and of several servers the others are asked meanwhile. Each answers for the models that it has. A call is always
    answered by one model. What the model's name stands for is asked again every 5 seconds, so that the client follows
    when it comes to stand for another; see `pinned`.

    Every method raises a subclass of `RequestError` where its request is not answered, and `InvalidRequestError` before
    anything is sent where an argument cannot be used.
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
        """Sends nothing yet.

        Args:
            target: address of a server, ``host:port``, ``grpcs://host:port`` for TLS, a port of this machine, or a gRPC
                target such as ``dns:///name:port`` or ``unix:/path``; or several of them. Requests go to all in turns.
            model: name of the model, ``name:version``, or ``name:alias`` such as ``digits:stable``; without it, only
                `list_models` answers.
            version: its version; without it, the one that the alias ``stable`` points to, or else the highest.
            digest: SHA-256 of its ONNX file; with it, only that very model answers.
            timeout_s: most seconds a call takes, all attempts together, unless the call says otherwise.
            retry_for_s: most seconds for which a server that is unavailable or without room is asked again; 0 asks
                once. Without it, for as long as the call may take.
            on_retry: is called with a `RetryEvent` before anything is asked again, by whichever thread makes the call.
                What it raises ends the call.
            hedge_after_s: seconds after which another server is asked the same, where the first has not answered by
                then; the first answer counts, and the other call is cancelled. At most once for each request. Takes
                two or more addresses. Without it, nobody else is asked while one is answering.
            priority: ``"bulk"`` for pipelines, whose samples fill what interactive callers leave free, or
                ``"interactive"``. Without it streams are bulk and all else is interactive. While bulk samples wait, at
                least a quarter of what a server makes of a model is theirs.
            coalesce: whether calls for a few samples travel together where threads, or tasks, make them at the same
                time, which costs less than a call each: for small models and many callers. The first go at once; those
                that come while two are under way leave together when one of them returns, or after a tenth of a second.
                Each has its own samples, errors and deadline.
            ca: PEM file with the CAs that are trusted, for addresses ``grpcs://host:port``; without it, those that come
                with gRPC. Here and below, what is not given is taken from the environment: GANSERVE_CA, GANSERVE_CERT,
                GANSERVE_KEY, GANSERVE_TOKEN or GANSERVE_TOKEN_FILE.
            cert: PEM file with the client's own certificate, for servers that want one.
            key: PEM file with its private key.
            token: what the server knows the caller by, or a function that gives it, such as a `TokenFile`; it is called
                for every request and should be quick. The token is sent by TLS, or to this machine, and never
                otherwise. A pickled client holds it, or the function.

        Raises:
            ConfigError: an address, a timeout, a certificate or another setting that cannot be used.
            InvalidRequestError: a version or a digest that cannot be.
        """
        self._core = Core(target, model, version, digest, timeout_s, retry_for_s, on_retry, hedge_after_s, priority)
        access = Access.of(self._core.addresses, ca, cert, key, token)
        self._connections = Connections(access, coalesce=coalesce)
        self._calls = Calls(self._core, self._connections)
        self._submissions = Submissions(CALLS_AT_ONCE * len(self._core.addresses))

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
        timeout_s: float | None = None,
    ) -> Samples:
        """Samples `first_index … first_index + n - 1` of a seed, or those of `indices`, by one model.

        However many requests that takes. A class is given as an int, its label counted from 0, or as a str, its name.

        Args:
            n: number of samples, at least 1; with `counts`, leave it out: they say how many.
            seed: 0 to 2^64 - 1; without it, the client draws one, and `Samples.seed` tells which.
            first_index: index of the first sample.
            indices: in place of `n` and `first_index`: indices in any order, any of them any number of times. With
                `counts`, each has the class that it has in the whole.
            labels: one class for all; ``"balanced"`` or ``"uniform"``; a sequence of classes, of which index `i` gets
                entry `i` modulo its length; or a mapping from class to weight. Without it, balanced for a conditional
                generator.
            counts: in place of `labels`: exactly how many samples of each class. With ``{"dog": 1100, "frog": 1400}``
                indices 0 to 1099 are dogs, 1100 to 2499 frogs, and so on in turns, so that any 2500 indices in a row,
                which a call gives, hold as many of each. A part of them is asked for by its `indices`.
            truncation: bound on the absolute value of every latent value, above 0, such as 1.5: fewer odd samples and
                less variety.
            spread: what every latent value is multiplied by, after it is truncated, such as 1.2: more variety and more
                odd samples; below 1, less of both.
            best_of: of how many candidates each sample is the best, 2 to 64: sample `j` is the one of candidates
                ``best_of * j`` to ``best_of * j + best_of - 1``, all of its class, that the scorer gives the highest
                number. `Samples.scores` tells it.
            scorer: the scorer, as in ``"digits-classifier"``, ``name:version`` or ``name:alias``; without it, the
                classifier that `ganserve export --scorer` wrote beside the model, ``NAME-classifier``.
            then: translators that the samples pass through on the server, in order, such as ``["sr2x"]``.
            format: how the images travel. Files arrive in `Samples.files` and are decoded when arrays are asked for.
            quality: 1 to 100, for JPEG and WebP; without it, JPEG takes 95 and WebP is lossless.
            timeout_s: most seconds for everything; without it, the client's own.
        """
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
        return self._calls.samples(query, self._core.deadline(timeout_s))

    def submit(
        self, n: int | None = None, *, timeout_s: float | None = None, **options: Unpack[SampleOptions]
    ) -> Future[Samples]:
        """As `generate`, and without waiting: a future of the samples, for ``as_completed``, ``wait`` and callbacks.

        Up to 8 for each server are under way at once, in the order in which they were submitted; `timeout_s` counts
        from when one begins. One that has not begun can be cancelled. `close` cancels all that have not, and ends the
        others with `CallCancelledError`, as it happens in a forked process to those of its parent.

        Raises:
            InvalidRequestError: at once, where an argument cannot be used.
        """
        check_options(self.submit, options)
        query = self._core.addressed(n, **options)
        wait_s = self._core.check_wait(timeout_s)
        return self._submissions.submit(lambda: self._calls.samples(query, Deadline(wait_s)))

    def resume(self, error: RequestError, *, timeout_s: float | None = None) -> Samples:
        """All samples of a call that failed with `error`: asks for those alone that `error.partial` lacks.

        In the order asked for, and by the same model where some are there.

        Args:
            error: what `generate`, `generate_from`, `interpolate` or a future raised, here or in another process.
            timeout_s: as in `generate`.

        Raises:
            InvalidRequestError: no such error, or one of a call for another model than this client's.
            RequestError: `error` itself where it does not tell what was asked for.
            PreconditionError: the model that made the first ones is not there any more.
        """
        return self._calls.rest(self._core.partial_of(error), self._core.deadline(timeout_s))

    def generate_from(
        self,
        latents: ArrayLike,
        *,
        labels: LabelsLike | None = None,
        format: ImageFormatName = "raw",  # noqa: A002
        quality: int | None = None,
        timeout_s: float | None = None,
    ) -> Samples:
        """One sample a row of `latents`, float (N, latent_dim), all finite.

        Args:
            latents: converted to float32.
            labels: one class for all, or a sequence of which row `i` gets entry `i` modulo its length; a conditional
                generator needs them, since balanced and weighted labels are drawn from a seed.
            format: as in `generate`.
            quality: as in `generate`.
            timeout_s: as in `generate`.
        """
        query = self._core.explicit(latents, labels=labels, format=format, quality=quality)
        return self._calls.samples(query, self._core.deadline(timeout_s))

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
        timeout_s: float | None = None,
    ) -> Samples:
        """The samples on the way from one address to another, each a seed and an index: ``((7, 3), (7, 12), 8)``.

        The first and the last are those of the addresses themselves. The latents between them turn from one to the
        other (spherical linear interpolation, Shoemake 1985; White 2016) and are the same on every machine.

        Args:
            start: seed and index of the first sample.
            stop: seed and index of the last.
            n: number of samples, at least 2.
            labels: the one class of all; a conditional generator needs it.
            truncation: as in `generate`, of both addresses.
            spread: as in `generate`, of both addresses.
            format: as in `generate`.
            quality: as in `generate`.
            timeout_s: as in `generate`.
        """
        deadline = self._core.deadline(timeout_s)
        card = self._calls.model(deadline).card
        latents = interpolated_latents(card, start, stop, n, labels=labels, truncation=truncation, spread=spread)
        return self._calls.samples(
            self._core.explicit(latents, labels=labels, format=format, quality=quality), deadline
        )

    def transform(
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
    ) -> Iterator[Images]:
        """Images made of images by a translator, such as one for super-resolution, in their order.

        Of any size: where the model allows it, an image is cut into tiles, and what is made of them is put together; of
        another one, only images of its own size are taken. A greyscale image stays one, also where the model takes
        colours, and the channels of a coloured one are transformed one by one where it takes none.

        Args:
            images: uint8 arrays (height, width) or (height, width, 1 or 3), PIL images, or names of PNG, JPEG and WebP
                files; any number of them, which are read as they are needed.
            model: the translator, as in `Client`; without it, the client's own model.
            masks: one an image, of its size and in greyscale, for an inpainting model: pixels above 127 are made anew,
                and all others are kept byte for byte.
            label: the class of all, for a conditional translator.
            seed: for a translator that takes latents too: image `i` gets those of index `i`, so that ``[photo] * 8``
                are eight variants of a photo. Without it, one is drawn.
            indices: the index of each image under the seed, in place of its position.
            resize: how images of other sizes are brought to that of a model that takes no tiles: `stretch` may distort,
                `crop` takes the middle, `pad` puts a smaller copy on black. Without it they are refused.
            timeout_s: most seconds for some 256 tiles; without it, the client's own.

        Yields:
            uint8 (height, width, 1 or 3) times the model's scale.
        """
        client = (self if model is None else self.for_model(model)).pinned(timeout_s=timeout_s)
        for batch in client._core.transforms(images, masks, label, seed, indices, resize):
            yield from batch.images(client._calls.samples(batch.query, client._core.deadline(timeout_s)).numpy())

    def score(
        self,
        images: Iterable[ImageLike],
        *,
        model: str | None = None,
        classes: Sequence[int | str] | None = None,
        timeout_s: float | None = None,
    ) -> Scores:
        """Numbers of images by a scorer, such as how real each one looks, and their percentiles among real images.

        An image of another size is brought to the scorer's as the images were that it was trained on.

        Args:
            images: as for `transform`; at least one.
            model: the scorer, as in `Client`; without it, the client's own model.
            classes: the class of each image, by name or label, where they are known: then the number for it counts.
            timeout_s: most seconds for some 256 images; without it, the client's own.
        """
        client = (self if model is None else self.for_model(model)).pinned(timeout_s=timeout_s)
        card, queries = client._core.score_queries(images)
        parts = [client._calls.samples(query, client._core.deadline(timeout_s)) for query in queries]
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
        timeout_s: float | None = None,
    ) -> Iterator[Samples]:
        """Samples of a seed in index order, in batches, without holding more than a few at a time.

        Where a server is lost, the stream goes on at the next index, by the same model, as soon as one is there.

        Args:
            n: number of samples; `counts` say it themselves, and without either there is no end.
            batch_size: samples a batch, of which the last may hold fewer; without it, as many as come at once.
            seed: as in `generate`.
            first_index: as in `generate`.
            labels: as in `generate`.
            counts: as in `generate`.
            truncation: as in `generate`.
            spread: as in `generate`.
            best_of: as in `generate`.
            scorer: as in `generate`.
            then: as in `generate`.
            format: as in `generate`.
            quality: as in `generate`.
            timeout_s: most seconds to wait for the next samples, lost servers included; without it, the client's own.
                The stream itself may take as long as its reader does.
        """
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
    ) -> Generator[Samples]:
        """Samples of a seed in index order, in batches of exactly `size`, some of which are made ahead of the reader.

        The same samples as of `stream`, whatever `size` and `prefetch` are, and by one model. Every batch is a call of
        its own, so that several servers share the work, a lost server loses nothing, and a reader may take its time.
        `stream` is better for one server and small batches, since it is a single call, and where samples are wanted as
        soon as each is there.

        Args:
            size: samples a batch. With `n`, the last batch may hold fewer.
            n: number of samples; `counts` say it themselves, and without either there is no end.
            prefetch: batches asked for ahead of the reader, 0 to 256. Never more than these and the reader's own are
                there at a time. When the reader stops, those under way are cancelled.
            timeout_s: most seconds to wait for the next batch; without it, the client's own.
            **options: as in `generate`; `indices` in any order are batched in that order.
        """
        check_options(self.batches, options)
        plan = BatchPlan.check(self._core.addressed(n, endless=True, **options), size, prefetch)
        wait_s = self._core.check_wait(timeout_s)
        return read_ahead(
            plan,
            find_model=lambda query: self._calls.model_of(query, Deadline(wait_s)),
            begin=lambda query: self._calls.begin(query, Deadline(wait_s)),
        )

    def profile(
        self,
        n: int = 64,
        *,
        repeats: int = 20,
        labels: LabelsLike | None = None,
        format: ImageFormatName = "raw",  # noqa: A002
        quality: int | None = None,
        timeout_s: float | None = None,
    ) -> Profile:
        """Where the milliseconds of `generate` go: queue, compute and encoding on the server, wire, and decoding here.

        Sends the same request several times, one after the other, and once before that, which is not counted. Ordinary
        calls are not measured.

        Args:
            n: number of samples, as many as one request takes at most.
            repeats: calls to measure.
            labels: as in `generate`.
            format: as in `generate`.
            quality: as in `generate`.
            timeout_s: most seconds for each call; without it, the client's own.

        Raises:
            UnsupportedError: the server is an older one, which does not tell its times.
        """
        query = self._core.addressed(n, labels=labels, format=format, quality=quality)
        repeats = check_repeats(repeats)
        return self._calls.profile(query, repeats, lambda: self._core.deadline(timeout_s))

    def pinned(self, *, timeout_s: float | None = None) -> Client:
        """A client for the very model that this one's name stands for now, whatever it comes to stand for later.

        What has to come of one model over many calls takes its samples from such a client: data sets, dumps and
        evaluations do so by themselves. It shares this one's connections, and is closed with it.
        """
        return self._with(self._core.pinned_to(self.get_model(timeout_s=timeout_s)))

    def for_model(self, model: str) -> Client:
        """A client for another model of the same servers, by name, ``name:version`` or ``name:alias``.

        It shares this one's connections, and is closed with it.
        """
        return self._with(self._core.for_model(model))

    def get_model(self, *, timeout_s: float | None = None) -> ModelInfo:
        """The client's model as a server runs it now: identity, card, state and limits."""
        return self._calls.model(self._core.deadline(timeout_s))

    def list_models(self, *, timeout_s: float | None = None) -> list[ModelInfo]:
        """All models of the servers that are there, by name and version."""
        return merge_models(self._calls.answers_of_all(self._core.ask_for_models(), self._core.deadline(timeout_s)))

    def wait_until_ready(self, timeout_s: float | None = None) -> None:
        """Waits until a server takes requests for the client's model or, where it has none, for any.

        Args:
            timeout_s: most seconds to wait; without it, the client's own.

        Raises:
            DeadlineError: none did in time.
            NotFoundError: a server is ready and has no such model.
            PreconditionError: it has the model with another digest.
        """
        deadline = self._core.deadline(timeout_s)
        try:
            self._calls.answer(self._core.ask_whether_ready(), self._core.attempts(deadline, patient=True))
        except UnavailableError as error:
            raise self._core.not_ready(error, deadline) from None

    def close(self) -> None:
        """Closes this process's channels. Calls under way end with `CallCancelledError`, and others are cancelled."""
        self._submissions.close()
        self._connections.close()

    def _with(self, core: Core) -> Client:
        """The same client, over the same connections, for the model of another core."""
        client = copy.copy(self)
        client._core = core
        client._calls = Calls(core, self._connections)
        return client

    def __repr__(self) -> str:
        return self._core.describe(type(self).__name__)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
