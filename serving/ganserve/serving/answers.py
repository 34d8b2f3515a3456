"""What the server answers, whatever the protocol: its models, and samples of them.

Knows neither gRPC nor HTTP. Who asks is a `Caller`, what is asked is the contract's `SampleQuery` or a `TensorQuery`,
and what is wrong is raised as an error of `ganserve.contract.errors`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sized
from concurrent.futures import Executor
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

from ganserve.contract import images as codec
from ganserve.contract.bundle import IMAGES_OUTPUT
from ganserve.contract.errors import InvalidRequestError, OverloadedError, RequestError, UnavailableError
from ganserve.contract.images import Images
from ganserve.contract.text import counted
from ganserve.runtime.chain import Chain, Stages, find_stages
from ganserve.runtime.replies import describe_batch
from ganserve.runtime.sources import Source
from ganserve.runtime.tensor_query import TensorQuery, open_tensors
from ganserve.v1.generator_pb2 import ImageEncoding, ImageFormat, ModelSelector, SampleBatch, SampleQuery
from ganserve.v1.model_pb2 import ModelState, ServedModel

from .admission import Budget
from .chains import ServedChain, in_use, limits_of
from .counted_call import OK, CountedRows, count_rows, current_call, note_request
from .limits import Limits
from .metrics import Metrics
from .model import Model
from .repository import Repository
from .sampling import Made, make_all, make_parts
from .scheduler import Caller, Priority
from .statistics import RequestStatistics

Query: TypeAlias = SampleQuery | TensorQuery
"""Which samples, of which model, in which form."""

WhenSent: TypeAlias = Callable[[Callable[[], None]], None]
"""Has something done once the caller has the reply, or never will."""

_FILES_PER_TASK: Final = 16
_ENTRIES_READ_AT_ONCE: Final = 1024


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Samples, and what was asked of which models."""

    chain: ServedChain
    made: Made
    encoding: ImageEncoding

    @property
    def model(self) -> Model:
        """The first, whose samples they are."""
        return self.chain.stages.model

    @property
    def source(self) -> Source:
        """What was asked of it."""
        return self.chain.source

    @property
    def images(self) -> Images | None:
        """uint8 (N, height, width, channels); None of a scorer."""
        return self.made.rows.columns.get(IMAGES_OUTPUT)

    def describe(self) -> SampleBatch:
        """A batch with everything but the images."""
        return describe_batch(self.chain, self.made.start, self.made.rows, self.encoding)


class Answers:
    """Answers every protocol from one repository, within one budget of replies. Belongs to one event loop.

    Attributes:
        state: what clients are told of all models; nothing is answered while they load.
    """

    def __init__(
        self,
        repository: Repository,
        *,
        workers: Executor,
        max_reply_bytes: int,
        check_model: Callable[[Model], None],
        metrics: Metrics | None = None,
        make_room: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Args:
            repository: the models.
            workers: encode and decode images and read long requests, off the event loop.
            max_reply_bytes: most bytes of replies under way at once.
            check_model: raises a RequestError where a model cannot run.
            metrics: what is counted.
            make_room: has those streams end whose readers take nothing, where another has no room for its next part.
        """
        self.state = ModelState.MODEL_STATE_LOADING
        self._repository = repository
        self._workers = workers
        self._budget = Budget(max_reply_bytes, make_room=make_room)
        self._check_model = check_model
        self._metrics = metrics or Metrics()
        self._refused_bytes = self._metrics.refusals.child("reply_bytes")
        self._metrics.reply_bytes_promised.show(lambda: self._budget.taken)
        self._metrics.reply_bytes_limit.show(lambda: self._budget.limit)

    @property
    def is_ready(self) -> bool:
        """Whether requests are taken, for at least one model."""
        return self.state == ModelState.MODEL_STATE_SERVING and not all(map(self.trouble, self._repository))

    def find(self, selector: ModelSelector, *, field: str) -> Model:
        """The model that a selector names. Raises what `Catalogue.resolve` does."""
        self._require_ready()
        model = self._repository.resolve(selector, field=field)
        if call := current_call.get():
            call.model = model.metrics
        return model

    def find_all(self) -> list[Model]:
        """All models that were loaded, by name and version."""
        self._require_ready()
        return list(self._repository)

    def trouble(self, model: Model) -> str:
        """Why a model cannot run; empty where it can."""
        try:
            self._check_model(model)
        except RequestError as error:
            return str(error)
        return ""

    def model(self, selector: ModelSelector, *, field: str) -> ServedModel:
        """What clients are told of the model that a selector names. Raises as `find` does."""
        return self._repository.describe(self.find(selector, field=field), self.state)

    def models(self) -> list[ServedModel]:
        """What clients are told of all models, by name and version, those that cannot be served included."""
        self._require_ready()
        return self._repository.describe_all(self.state)

    async def samples(self, query: Query, caller: Caller, when_sent: WhenSent, *, room: Budget | None = None) -> Answer:
        """All samples of a query at once, whose bytes are set aside until they are sent.

        Where several answers share the `room` of one reply, this one takes its place there.

        Raises:
            RequestError: of the query, or of the server's state.
        """
        stages, limits = self._find(query)
        model = stages.model
        note_request(caller.stopwatch)
        with in_use(stages), RequestStatistics(model.statistics, caller.stopwatch):
            chain = await self._read(query, stages)
            count = chain.source.count
            with CountedRows(model.metrics, count, caller.deadline_s):
                limits.check_request(count, field=chain.source.count_field)
                if room is not None:
                    _take_room(room, limits.framed_bytes(count))
                self._reserve(limits.reply_bytes(count), caller, when_sent)
                made = await make_all(chain, caller)
            return Answer(chain=chain, made=made, encoding=query.encoding)

    def check(self, query: SampleQuery) -> None:
        """Raises what `samples` would because of the query itself."""
        stages, limits = self._find(query)
        _check_files(query, stages.model)
        source = Chain.open(query, stages).source
        limits.check_request(source.count, field=source.count_field)

    async def stream(self, query: Query, caller: Caller, max_batch_size: int | None) -> AsyncGenerator[Answer, None]:
        """All samples of a query in index order, at most so many at a time. Raises as `samples` does."""
        stages, limits = self._find(query)
        note_request(caller.stopwatch)
        with in_use(stages, streaming=True):
            chain = await self._read(query, stages)
            part_size = limits.part_size(max_batch_size)
            async with aclosing(make_parts(chain, part_size, caller, self._budget)) as parts:
                async for made in parts:
                    yield Answer(chain=chain, made=made, encoding=query.encoding)
                    count_rows(stages.model.metrics, len(made.rows), OK)

    async def encode(self, answer: Answer) -> list[bytes]:
        """The images as files, in the form that was asked for, which is not raw."""
        images, encoding = _require_images(answer), answer.encoding

        def encode_some(start: int) -> list[bytes]:
            return [codec.encode(image, encoding) for image in images[start : start + _FILES_PER_TASK]]

        loop = asyncio.get_running_loop()
        starts = range(0, len(images), _FILES_PER_TASK)
        with self._timed(encoding):
            tasks = (loop.run_in_executor(self._workers, encode_some, start) for start in starts)
            parts = await asyncio.gather(*tasks)
        return [file for part in parts for file in part]

    async def draw(self, answer: Answer, columns: int | None, gap: int) -> bytes:
        """The images as one file, laid out row by row, in the form that was asked for, which is not raw."""

        def encode_grid() -> bytes:
            return codec.encode(codec.make_grid(_require_images(answer), columns, gap), answer.encoding)

        with self._timed(answer.encoding):
            return await asyncio.get_running_loop().run_in_executor(self._workers, encode_grid)

    def _find(self, query: Query) -> tuple[Stages[Model], Limits]:
        """The models of a query, where they can answer in the form asked for, and what bounds it."""
        model = self.find(query.model, field="query.model")
        self._check_model(model)
        codec.check_encoding(query.encoding)
        if isinstance(query, TensorQuery):
            return Stages(model, None, ()), model.limits
        stages = find_stages(query, model, self._find_further)
        return stages, limits_of(stages, query.best_of.candidates or 1)

    def _find_further(self, selector: ModelSelector, field: str) -> Model:
        """A model that samples of another pass through."""
        model = self._repository.resolve(selector, field=field)
        self._check_model(model)
        return model

    async def _read(self, query: Query, stages: Stages[Model]) -> ServedChain:
        """The query, checked. Image files and lists of millions of classes must not hold up the other calls."""
        if isinstance(query, TensorQuery):
            return Chain.of(open_tensors(query, stages.model.card), stages)
        labels = query.labels
        lists: tuple[Sized, ...] = (
            labels.list.classes,
            labels.weighted.weights,
            labels.blocks.blocks,
            query.address.indices,
        )
        has_files = _check_files(query, stages.model)
        if not has_files and sum(len(entries) for entries in lists) <= _ENTRIES_READ_AT_ONCE:
            return Chain.open(query, stages)
        return await asyncio.get_running_loop().run_in_executor(self._workers, Chain.open, query, stages)

    @contextmanager
    def _timed(self, encoding: ImageEncoding) -> Iterator[None]:
        """Measures how long it takes until images are files."""
        start_s = time.monotonic()
        yield
        name = ImageFormat.Name(encoding.format).removeprefix("IMAGE_FORMAT_").lower()
        self._metrics.encode_s.child(name).observe(time.monotonic() - start_s)

    def _require_ready(self) -> None:
        if self.state == ModelState.MODEL_STATE_LOADING:
            raise UnavailableError("the server is still loading its models; try again shortly", retry_after_s=1.0)

    def _reserve(self, num_bytes: int, caller: Caller, when_sent: WhenSent) -> None:
        """Sets bytes aside until the reply is sent. Raises OverloadedError."""
        if not self._budget.has_room(num_bytes, caller.priority):
            self._refused_bytes.add()
            raise OverloadedError(
                f"a reply of {counted(num_bytes, 'byte')} beside {self._budget.taken:,} of those under way would "
                f"exceed the {self._budget.limit_of(caller.priority):,} that this server allows"
                f"{' for bulk requests' if caller.priority is Priority.BULK else ''}; try again shortly",
                retry_after_s=1.0,
            )
        self._budget.take(num_bytes)
        when_sent(lambda: self._budget.give_back(num_bytes))


def _require_images(answer: Answer) -> Images:
    """Raises InvalidRequestError where a scorer answered, which makes none."""
    if answer.images is None:
        raise InvalidRequestError("this model scores images, and makes none", field="query.model")
    return answer.images


def _check_files(query: SampleQuery, model: Model) -> bool:
    """Whether a query holds image files. Raises InvalidRequestError where there are too many to decode at once.

    A file may take a thousand times its size.
    """
    num_files = max(len(query.images.files), len(query.images.mask_files))
    if num_files:
        model.limits.check_request(num_files, field="query.images.files")
    return num_files > 0


def _take_room(room: Budget, num_bytes: int) -> None:
    if not room.has_room(num_bytes):
        raise InvalidRequestError(
            "the samples of the requests in this call do not fit one reply; send this one by itself", field="requests"
        )
    room.take(num_bytes)
