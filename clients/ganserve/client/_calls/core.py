"""What both clients share: everything but waiting for gRPC."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final, Unpack

from numpy.typing import ArrayLike

from ganserve.client._queries.chains import further_models
from ganserve.client._queries.input_images import ImageLike
from ganserve.client._queries.labels import LabelsLike, label_policy
from ganserve.client._queries.options import SampleOptions, sample_query
from ganserve.client._queries.parts import generate_request, most_samples, num_samples, part, parts
from ganserve.client._queries.requests import (
    PriorityName,
    image_encoding,
    latents_query,
    model_selector,
    named,
    priority_value,
)
from ganserve.client._queries.scoring import score_queries
from ganserve.client._queries.transforms import Batch, batches
from ganserve.client._samples.memory import check_fits
from ganserve.client._samples.model_info import ModelInfo
from ganserve.client._samples.replies import whole_reply
from ganserve.client._samples.samples import Samples
from ganserve.client._transport.addresses import Target, parse_addresses
from ganserve.client._transport.ask import Ask
from ganserve.client._transport.deadline import Deadline, check_hedge, check_retry, check_timeout
from ganserve.client._transport.errors import is_lack, is_over_limit
from ganserve.contract.errors import (
    DeadlineError,
    InvalidRequestError,
    RequestError,
    UnavailableError,
    UnsupportedError,
)
from ganserve.contract.grpc_keys import PROFILE_KEY
from ganserve.contract.resizing import ResizeMode
from ganserve.contract.text import counted
from ganserve.v1.generator_pb2 import (
    GenerateResponse,
    GetModelRequest,
    GetModelResponse,
    ListModelsRequest,
    ListModelsResponse,
    ModelSelector,
    SampleQuery,
)
from ganserve.v1.model_pb2 import ModelCard, ModelState

from .attempts import Attempts
from .partial import Assembly, Partial, partial_of
from .profile import TimedReply
from .retry_event import OnRetry, check_on_retry
from .servers import Servers
from .stream_cursor import StreamCursor

_GRACE_S: Final = 1.0
_LOOK_AGAIN_S: Final = 5.0  # sooner than a server lets go of a model that was replaced


class Core:
    """Where to ask, for which model and for how long, and the model as a server last told it.

    Attributes:
        addresses: one or more server addresses.
        hedge_after_s: seconds after which a second server is asked too; None for never.
    """

    def __init__(
        self,
        target: Target,
        model: str | None,
        version: int | None,
        digest: str,
        timeout_s: float,
        retry_for_s: float | None,
        on_retry: OnRetry | None,
        hedge_after_s: float | None,
        priority: PriorityName | None,
    ) -> None:
        """Raises ConfigError or InvalidRequestError for arguments that cannot be used."""
        self.addresses = parse_addresses(target)
        self._known: ModelInfo | None = None
        self._further: dict[str, ModelInfo] = {}  # by digest
        self._meant: dict[bytes, tuple[str, float]] = {}  # digest of what a selector stands for, and until when
        self._known_until_s = -math.inf
        self._servers = Servers(self.addresses)
        self._model = model_selector(model, version, digest)
        self._timeout_s = check_timeout(timeout_s)
        self._retry_for_s = check_retry(retry_for_s)
        self._on_retry = check_on_retry(on_retry)
        self.hedge_after_s = check_hedge(hedge_after_s, len(self.addresses))
        self._priority_name = priority
        self._priority = priority_value(priority)

    def pinned_to(self, model: ModelInfo) -> Core:
        """The same for one model alone, whatever its name comes to stand for."""
        core = copy.copy(self)
        core._model = ModelSelector(name=model.name, digest=model.digest)
        core._take(model)
        return core

    def for_model(self, model: str) -> Core:
        """The same for another model. Raises InvalidRequestError where it cannot be one."""
        core = copy.copy(self)
        core._model = model_selector(model, None, "")
        core.forget()
        return core

    def describe(self, kind: str) -> str:
        """The client as people read it."""
        alias = f":{self._model.alias}" if self._model.alias else ""
        model = f", model={self._model.name + alias!r}" if self._model.name else ""
        version = f", version={self._model.version}" if self._model.HasField("version") else ""
        digest = f", digest={self._model.digest!r}" if self._model.digest else ""
        target = self.addresses[0] if len(self.addresses) == 1 else list(self.addresses)
        priority = f", priority={self._priority_name!r}" if self._priority_name else ""
        return f"{kind}({target!r}{model}{version}{digest}, timeout_s={self._timeout_s:g}{priority})"

    def deadline(self, timeout_s: float | None) -> Deadline:
        """The end of a call that begins now. Raises ConfigError."""
        return Deadline(self._timeout_s if timeout_s is None else timeout_s)

    def check_wait(self, timeout_s: float | None) -> float:
        """Most seconds to wait for the next samples of a stream. Raises ConfigError."""
        return self._timeout_s if timeout_s is None else check_timeout(timeout_s)

    def attempts(self, deadline: Deadline, *, patient: bool = False) -> Attempts:
        """At a call that any server may answer. Patient ones go on until the deadline, whatever `retry_for_s` is."""
        retry_for_s = deadline.timeout_s if patient else self._retry_for_s
        return Attempts(
            self._servers, deadline, retry_for_s=retry_for_s, digest=self._model.digest, on_retry=self._on_retry
        )

    def attempts_at_any(self, deadline: Deadline) -> Attempts:
        """At a call for another model than the client's."""
        return Attempts(self._servers, deadline, retry_for_s=self._retry_for_s, on_retry=self._on_retry)

    def attempt_at(self, address: str, deadline: Deadline) -> Attempts:
        """At a call to one server, which is asked once."""
        return Attempts(Servers([address]), deadline, retry_for_s=0.0)

    def part_attempts(self, deadline: Deadline, digest: str) -> Attempts:
        """At a part of a call, which the model `digest` has to answer."""
        return Attempts(
            self._servers,
            deadline,
            retry_for_s=self._retry_for_s,
            digest=digest,
            may_change=True,
            on_retry=self._on_retry,
        )

    def stream_attempts(self, cursor: StreamCursor, timeout_s: float) -> Attempts:
        """At the next reply of a stream, for which the wait begins now."""
        return Attempts(
            self._servers,
            Deadline(timeout_s),
            retry_for_s=self._retry_for_s,
            digest=cursor.digest,
            may_change=cursor.may_change,
            on_retry=self._on_retry,
        )

    def ask_for_model(self) -> Ask[ModelInfo]:
        """Asks for the client's model, which is known from then on. Raises InvalidRequestError where it has none."""
        return Ask("GetModel", GetModelRequest(model=named(self._model)), self._learn)

    def ask_for_further(self, query: SampleQuery) -> Iterator[Ask[None]]:
        """Asks for the models that a query names beside its own. Each answer has it take the very model that there is.

        So all parts of a call are by the same ones, whatever their names come to stand for meanwhile. That is asked
        for again every few seconds, as of the client's own model.
        """
        for selector in further_models(query):
            digest, until_s = self._meant.get(_key(selector), (selector.digest, -math.inf))
            if time.monotonic() < until_s:
                selector.digest = digest
            if not selector.digest or selector.digest not in self._further:
                yield Ask("GetModel", GetModelRequest(model=selector), partial(self._learn_further, selector))

    def _learn_further(self, selector: ModelSelector, reply: GetModelResponse) -> None:
        model = ModelInfo(reply.model)
        self._further[model.digest] = model
        self._meant[_key(selector)] = model.digest, time.monotonic() + _LOOK_AGAIN_S
        selector.digest = model.digest

    def _most_samples(self, query: SampleQuery, model: ModelInfo) -> int:
        """Of a query whose first model is that one: most samples of one request, as the server has it."""
        candidates = query.best_of.candidates or 1
        most = model.max_samples_per_request // candidates
        if scorer := self._further.get(query.best_of.scorer.digest):
            most = min(most, scorer.max_samples_per_request // candidates)
        for selector in query.then:
            if translator := self._further.get(selector.digest):
                most = min(most, translator.max_samples_per_request)
        return max(1, most)

    def ask_for_models(self) -> Ask[list[ModelInfo]]:
        """Asks for all models of a server."""
        return Ask("ListModels", ListModelsRequest(), _all_models)

    def ask_whether_ready(self) -> Ask[None]:
        """Asks for the client's model, or any where it has none; a server where it does not serve is unavailable."""
        if self._model.name:
            return Ask("GetModel", GetModelRequest(model=self._model), _check_serving)
        return Ask("ListModels", ListModelsRequest(), _check_serving)

    def not_ready(self, error: UnavailableError, deadline: Deadline) -> DeadlineError:
        """What a wait for a server ends with."""
        return DeadlineError(f"no server was ready within {deadline.timeout_s:g} s: {error}")

    def ask_for_parts(self, assembly: Assembly, model: ModelInfo) -> Iterator[tuple[int, Ask[Samples]]]:
        """Asks for all samples that are missing, in order, in requests that the server takes, and of one model.

        Each question stands behind the position of its first sample. Raises InvalidRequestError where the whole does
        not fit into memory.
        """
        query = assembly.query
        last = self._further.get(query.then[-1].digest, model) if query.then else model
        check_fits(query, last)
        most = self._most_samples(query, model)
        share = num_samples(query) / most_samples(most)
        for start, one in parts(query, most, assembly.digest, assembly.gaps()):
            request = generate_request(one, self._priority)
            yield start, Ask("Generate", request, _samples_of(one), share=share)

    def ask_for_profile(self, query: SampleQuery, model: ModelInfo) -> Ask[TimedReply]:
        """Asks for the samples of a query and for where the time went. Raises InvalidRequestError for too many."""
        most = most_samples(self._most_samples(query, model))
        if num_samples(query) > most:
            raise InvalidRequestError(
                f"n is {num_samples(query)}; one request is measured, and of this model it takes up to "
                f"{counted(most, 'sample')}",
                field="query.address.count",
            )
        pinned = part(query, 0, num_samples(query), model.digest)
        request = generate_request(pinned, self._priority)
        return Ask("Generate", request, TimedReply.reader(pinned), ((PROFILE_KEY, "1"),))

    def partial_of(self, error: RequestError) -> Partial:
        """What came of a call for the client's model, as `partial.partial_of` tells it. Raises RequestError."""
        return partial_of(error, self._model)

    def refresh(self, query: SampleQuery) -> Refresh:
        """What to do where a call for samples is refused."""
        return Refresh(self, query)

    def known_for(self, query: SampleQuery) -> ModelInfo | None:
        """The model that a call may begin with, as a server told it; None where it is to be asked for.

        What its name stands for is asked for again every few seconds, but for a query that names a digest.
        """
        return self._known if query.model.digest or time.monotonic() < self._known_until_s else None

    def forget(self) -> None:
        """The model has changed: it is to be asked for again, and those beside it too."""
        self._known = None
        self._meant.clear()
        self._servers.forget_lacks()

    def cursor(self, query: SampleQuery, batch_size: int | None) -> StreamCursor:
        """A stream, of the model that is known. Raises InvalidRequestError for a batch size that is not 1 or more."""
        known = self.known_for(query)
        return StreamCursor(query, batch_size, known.digest if known else "", self._priority)

    def addressed(self, n: int | None, *, endless: bool = False, **options: Unpack[SampleOptions]) -> SampleQuery:
        """Asks the client's model for samples of a seed, as `sample_query` does. Raises InvalidRequestError."""
        return sample_query(self._model, n, endless=endless, **options)

    def explicit(
        self,
        latents: ArrayLike,
        *,
        labels: LabelsLike | None,
        format: str,  # noqa: A002
        quality: int | None,
    ) -> SampleQuery:
        """Asks the client's model for a sample a row of latents. Raises InvalidRequestError."""
        return latents_query(self._model, latents, labels=labels, encoding=image_encoding(format, quality))

    def transforms(
        self,
        images: Iterable[ImageLike],
        masks: Iterable[ImageLike] | None,
        label: int | str | None,
        seed: int | None,
        indices: Iterable[int] | None,
        resize: ResizeMode | None,
    ) -> Iterator[Batch]:
        """Queries that transform images, of a core that is pinned. Raises InvalidRequestError."""
        return batches(self._model, self._pinned_card(), images, masks, label_policy(label), seed, indices, resize)

    def score_queries(self, images: Iterable[ImageLike]) -> tuple[ModelCard, Iterator[SampleQuery]]:
        """The scorer's card and queries for scores, of a core that is pinned. Raises InvalidRequestError."""
        card = self._pinned_card()
        return card, score_queries(self._model, card, images)

    def _pinned_card(self) -> ModelCard:
        """That of the model that `pinned_to` was told."""
        assert self._known is not None  # noqa: S101 - a core is pinned before it cuts images
        return self._known.card

    def _learn(self, reply: GetModelResponse) -> ModelInfo:
        alias = "" if self._model.digest else self._model.alias
        if alias and alias not in reply.model.aliases:
            raise UnsupportedError(
                f"the server knows nothing of aliases such as {alias!r}, and would take another version; ask a server "
                "of this version, or give a version",
                field="query.model.alias",
            )
        model = ModelInfo(reply.model)
        self._take(model)
        return model

    def _take(self, model: ModelInfo) -> None:
        self._known = model
        self._known_until_s = time.monotonic() + _LOOK_AGAIN_S


class Refresh:
    """The second chance of a call: what the client knows of its model may be out of date, once."""

    def __init__(self, core: Core, query: SampleQuery) -> None:
        self._core = core
        self._name = query.model.name
        self._spent = False

    def after(self, error: RequestError) -> None:
        """Has the model asked for again. Raises `error` where that cannot help or has not helped."""
        if not is_lack(error) and not is_over_limit(error):
            raise error from None
        self._core.forget()
        if self._spent and is_lack(error):
            raise type(error)(
                f"{error}; the model was asked for again in between, so it changed once more, or the servers at "
                f"{', '.join(self._core.addresses)} hold different models as {self._name!r}",
                field=error.field,
            ) from None
        if self._spent:
            raise error from None
        self._spent = True


def grace_s(error: RequestError) -> float:
    """How long to wait for the parts under way when one has failed: not at all where they are to be asked for again."""
    return 0.0 if is_lack(error) or is_over_limit(error) else _GRACE_S


def merge_models(lists: Iterable[list[ModelInfo]]) -> list[ModelInfo]:
    """The models of several servers, each once, by name and version."""
    by_identity = {(model.name, model.version, model.digest): model for models in lists for model in models}
    return [by_identity[identity] for identity in sorted(by_identity)]


def _key(selector: ModelSelector) -> bytes:
    return selector.SerializeToString(deterministic=True)


def _all_models(reply: ListModelsResponse) -> list[ModelInfo]:
    return [ModelInfo(model) for model in reply.models]


def _samples_of(part: SampleQuery) -> Callable[[GenerateResponse], Samples]:
    return lambda reply: whole_reply(part, reply.batch)


def _check_serving(reply: GetModelResponse | ListModelsResponse) -> None:
    models = [reply.model] if isinstance(reply, GetModelResponse) else reply.models
    if not any(model.state == ModelState.MODEL_STATE_SERVING for model in models):
        reasons = [model.state_reason for model in models if model.state_reason]
        raise UnavailableError(reasons[0] if reasons else "the server is stopping")
