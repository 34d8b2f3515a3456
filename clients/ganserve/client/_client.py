"""The client for threads."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import NamedTuple, Self

import grpc
from numpy.typing import ArrayLike

from ganserve.contract.errors import DeadlineError, UnavailableError
from ganserve.contract.images import ImageFormatName
from ganserve.v1.generator_pb2 import GenerateResponse, ListModelsRequest, SampleQuery, StreamSamplesResponse
from ganserve.v1.model_pb2 import ServedModel

from ._connections import Connections
from ._core import Core
from ._deadline import Deadline, too_slow
from ._labels import CountsLike, LabelsLike
from ._parts import MAX_IN_FLIGHT, first_part, generate_request, later_parts
from ._replies import whole_reply
from ._requests import IndicesLike
from ._samples import Samples
from ._stream import StreamCursor


class Client:
    """Asks ganserve servers for samples. Any number of threads may share one.

    It connects when it is first used, once in every process: a forked `DataLoader` worker opens a channel of its own,
    and a spawned one gets a copy of the client that does the same.

    Every method raises a subclass of `RequestError` where its request is not answered, and `InvalidRequestError` before
    anything is sent where an argument cannot be used.
    """

    def __init__(
        self,
        target: str | Sequence[str],
        *,
        model: str | None = None,
        version: int | None = None,
        digest: str = "",
        timeout_s: float = 30.0,
    ) -> None:
        """Sends nothing yet.

        Args:
            target: address of a server, ``host:port`` or a gRPC target such as ``dns:///name:port``, or several of
                ``host:port``. Requests go round robin over all addresses.
            model: name of the model, or ``name:version``; without it, only `list_models` answers.
            version: its version; without it, the highest.
            digest: SHA-256 of its ONNX file; with it, only that very model answers.
            timeout_s: most seconds a call takes, all attempts together, unless the call says otherwise.

        Raises:
            ConfigError: an address or timeout that cannot be used.
            InvalidRequestError: a version that cannot be.
        """
        self._core = Core(target, model, version, digest, timeout_s)
        self._connections = Connections(self._core.addresses)

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
        format: ImageFormatName = "raw",  # noqa: A002
        quality: int | None = None,
        timeout_s: float | None = None,
    ) -> Samples:
        """Samples `first_index … first_index + n - 1` of a seed, or those of `indices`, by one model.

        However many requests that takes. A class is given as an int, its label counted from 0, or as a str, its name.

        Args:
            n: number of samples, at least 1; without it, as many as `counts` add up to.
            seed: 0 to 2^64 - 1; without it, the client draws one, and `Samples.seed` tells which.
            first_index: index of the first sample.
            indices: in place of `n` and `first_index`: indices in any order, any of them any number of times.
            labels: one class for all; ``"balanced"`` or ``"uniform"``; a sequence of classes, of which index `i` gets
                entry `i` modulo its length; or a mapping from class to weight. Without it, balanced for a conditional
                generator.
            counts: in place of `labels`: exactly how many samples of each class. With ``{"dog": 1100, "frog": 1400}``
                indices 0 to 1099 are dogs, 1100 to 2499 frogs, and so on in turns, so that any 2500 indices in a row
                hold as many of each.
            truncation: bound on the absolute value of every latent value, above 0.
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
            format=format,
            quality=quality,
        )
        return self._fetch(query, timeout_s)

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
        return self._fetch(self._core.explicit(latents, labels=labels, format=format, quality=quality), timeout_s)

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
        format: ImageFormatName = "raw",  # noqa: A002
        quality: int | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[Samples]:
        """Samples of a seed in index order, in batches, without holding more than a few at a time.

        A lost server is asked again, from the next index on and for the same model, a bounded number of times.

        Args:
            n: number of samples; without it, as many as `counts` add up to, and without counts, there is no end.
            batch_size: samples a batch, of which the last may hold fewer; without it, as many as come at once.
            seed: as in `generate`.
            first_index: as in `generate`.
            labels: as in `generate`.
            counts: as in `generate`.
            truncation: as in `generate`.
            format: as in `generate`.
            quality: as in `generate`.
            timeout_s: most seconds to wait for the next samples; without it, the client's own. The stream itself may
                take as long as its reader does.
        """
        query = self._core.addressed(
            n,
            seed=seed,
            first_index=first_index,
            labels=labels,
            counts=counts,
            truncation=truncation,
            format=format,
            quality=quality,
            endless=True,
        )
        return self._follow(StreamCursor(query, batch_size), self._core.wait_s(timeout_s))

    def get_model(self, *, timeout_s: float | None = None) -> ServedModel:
        """The client's model as a server runs it now: identity, card, state and limits."""
        with self._core.call(timeout_s) as deadline:
            return self._ask_for_model(deadline)

    def list_models(self, *, timeout_s: float | None = None) -> list[ServedModel]:
        """All models of a server, by name and version."""
        with self._core.call(timeout_s) as deadline:
            return list(self._connections.stub().ListModels(ListModelsRequest(), timeout=deadline.left_s()).models)

    def close(self) -> None:
        """Closes this process's channel. Calls under way end with `CallCancelledError`."""
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fetch(self, query: SampleQuery, timeout_s: float | None) -> Samples:
        with self._core.call(timeout_s) as deadline:
            model = self._core.served or self._ask_for_model(deadline)
            most = model.max_samples_per_request
            (first,) = self._ask([first_part(query, most)], deadline)
            later = self._ask(later_parts(query, most, first.model.digest), deadline)
            return Samples.join([first, *later])

    def _ask(self, queries: Iterable[SampleQuery], deadline: Deadline) -> Iterator[Samples]:
        """Answers in the order of the queries, a few of which are under way at a time."""
        stub = self._connections.stub()
        pending: deque[_Pending] = deque()
        try:
            for query in queries:
                if len(pending) == MAX_IN_FLIGHT:
                    yield pending[0].samples()
                    pending.popleft()
                call = stub.Generate.future(generate_request(query), timeout=deadline.left_s())
                pending.append(_Pending(query, call))
            for answer in pending:
                yield answer.samples()
        finally:
            for answer in pending:
                answer.call.cancel()

    def _ask_for_model(self, deadline: Deadline) -> ServedModel:
        reply = self._connections.stub().GetModel(self._core.model_request(), timeout=deadline.left_s())
        self._core.served = reply.model
        return reply.model

    def _follow(self, cursor: StreamCursor, wait_s: float) -> Iterator[Samples]:
        while cursor.unfinished:
            try:
                with self._core.call(wait_s):
                    yield from self._read(cursor, wait_s)
            except UnavailableError as error:
                time.sleep(cursor.pause_s(error))

    def _read(self, cursor: StreamCursor, wait_s: float) -> Iterator[Samples]:
        """What one StreamSamples call brings."""
        call = self._connections.stub().StreamSamples(cursor.request())
        try:
            while (reply := _next_within(wait_s, call, call.cancel)) is not None:
                yield from cursor.accept(reply.batch)
            cursor.check_ended()
        finally:
            call.cancel()


class _Pending(NamedTuple):
    query: SampleQuery
    call: grpc.Future[GenerateResponse]

    def samples(self) -> Samples:
        return whole_reply(self.query, self.call.result().batch)


def _next_within(
    wait_s: float, replies: Iterator[StreamSamplesResponse], cancel: Callable[[], object]
) -> StreamSamplesResponse | None:
    """The next reply, or None at the end. Raises DeadlineError when none comes in time."""
    late = threading.Event()

    def give_up() -> None:
        late.set()
        cancel()

    timer = threading.Timer(wait_s, give_up)
    timer.daemon = True
    timer.start()
    try:
        return next(replies, None)
    except grpc.RpcError:
        if late.is_set():
            raise DeadlineError(too_slow(wait_s)) from None
        raise
    finally:
        timer.cancel()
