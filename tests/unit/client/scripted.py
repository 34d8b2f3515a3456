"""A real gRPC server whose replies and failures a test writes down beforehand."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status

from ganserve.contract.grpc_keys import CALL_TIMES_KEY, PROFILE_KEY, STATUS_DETAILS_KEY
from ganserve.contract.images import encode, is_raw
from ganserve.contract.labels import sample_labels
from ganserve.v1.generator_pb2 import (
    CallTimes,
    GenerateManyRequest,
    GenerateManyResponse,
    GenerateRequest,
    GenerateResponse,
    GetModelRequest,
    GetModelResponse,
    ListModelsRequest,
    ListModelsResponse,
    Outcome,
    Refusal,
    SampleBatch,
    SampleQuery,
    StreamSamplesRequest,
    StreamSamplesResponse,
)
from ganserve.v1.generator_pb2_grpc import GeneratorServiceServicer, add_GeneratorServiceServicer_to_server
from ganserve.v1.model_pb2 import (
    DatasetFingerprint,
    ImageShape,
    ModelCard,
    ModelIdentity,
    ModelState,
    Runtime,
    ServedModel,
)

HEIGHT, WIDTH, CHANNELS = 4, 5, 1
LATENT_DIM = 3


@dataclass(frozen=True)
class Failure:
    """How a call ends in place of a reply."""

    code: grpc.StatusCode
    details: str = "as scripted"
    field: str = ""
    retry_after_s: float | None = None
    raw_details: bytes | None = None

    def end(self, context: Any) -> None:
        context.set_trailing_metadata((("grpc-status-details-bin", self._packed()),))
        context.abort(self.code, self.details)

    def _packed(self) -> bytes:
        if self.raw_details is not None:
            return self.raw_details
        status = Status(message=self.details)
        if self.field:
            status.details.append(pack(BadRequest(field_violations=[BadRequest.FieldViolation(field=self.field)])))
        if self.retry_after_s is not None:
            delay = Duration()
            delay.FromNanoseconds(round(self.retry_after_s * 1e9))
            status.details.append(pack(RetryInfo(retry_delay=delay)))
        packed: bytes = status.SerializeToString()
        return packed


def pack(message: Any) -> Packed:
    packed = Packed()
    packed.Pack(message)
    return packed


UNAVAILABLE = Failure(grpc.StatusCode.UNAVAILABLE)


@dataclass
class Script(GeneratorServiceServicer):
    """What the server says. Image `i` of seed `s` is filled with `(s + i) % 256`, row `r` with its first latent.

    Attributes:
        generate: what the next Generate calls end with; None or an empty queue gives a reply.
        stream: after how many replies the next StreamSamples calls are lost.
        digests: digests of the next Generate replies; afterwards, the model's own.
        requests: all requests so far.
        hold: where it is given, calls of Generate, and replies of a stream after its first, wait for it.
        hold_after: how many calls of Generate do not.
        obeys_pins: whether calls for another digest are refused.
        times: where calls that ask are told that the time went; None for a server that does not tell.
        knows_many: whether several requests may come in one call, as they may not to older servers.
        many: how many requests came in each such call; 0 for one that was refused.
        knows_spread: whether replies tell of the spread, as those of older servers do not.
        further: digests of other models, by name, which samples may pass.
        knows_chains: whether replies tell of those, as those of older servers do not.
    """

    name: str = "digits"
    max_samples: int = 10
    class_names: Sequence[str] = ("zero", "one", "two")
    digest: str = "ab" * 32
    stream_batch: int = 4
    generate: deque[Failure | None] = field(default_factory=deque)
    stream: deque[tuple[int, Failure]] = field(default_factory=deque)
    digests: deque[str] = field(default_factory=deque)
    requests: list[Any] = field(default_factory=list)
    hold: threading.Event | None = None
    stream_lag: int = 0
    hold_after: int = 0
    obeys_pins: bool = True
    knows_spread: bool = True
    further: dict[str, str] = field(default_factory=dict)
    knows_chains: bool = True
    knows_many: bool = True
    many: list[int] = field(default_factory=list)
    times: CallTimes | None = field(
        default_factory=lambda: CallTimes(queue_ms=1 / 64, compute_ms=1 / 32, encode_ms=1 / 128)
    )
    state: ModelState.ValueType = ModelState.MODEL_STATE_SERVING

    def asked(self, kind: type[Any]) -> list[Any]:
        return [request for request in self.requests if isinstance(request, kind)]

    def Generate(self, request: GenerateRequest, context: Any) -> GenerateResponse:  # noqa: N802
        self.requests.append(request)
        if self.times and any(key == PROFILE_KEY for key, _ in context.invocation_metadata()):
            context.set_trailing_metadata(((CALL_TIMES_KEY, self.times.SerializeToString()),))
        self._refuse_other_names(request.query.model.name, context)
        if self.hold and len(self.asked(GenerateRequest)) > self.hold_after:
            self.hold.wait(5)
        if self.generate and (failure := self.generate.popleft()):
            failure.end(context)
        digest = self.digests.popleft() if self.digests else self.digest
        if self.obeys_pins and request.query.model.digest not in ("", digest):
            Failure(grpc.StatusCode.FAILED_PRECONDITION, "another digest").end(context)
        count = self._count(request.query)
        if count > self.max_samples:
            asked_by = "indices" if request.query.address.indices else "count"
            field = f"query.address.{asked_by}" if request.query.HasField("address") else "query.latents.values"
            Failure(grpc.StatusCode.INVALID_ARGUMENT, "too many", field=field).end(context)
        return GenerateResponse(batch=self._batch(request.query, 0, count, digest))

    def GenerateMany(self, request: GenerateManyRequest, context: Any) -> GenerateManyResponse:  # noqa: N802
        if not self.knows_many:
            self.many.append(0)
            Failure(grpc.StatusCode.UNIMPLEMENTED, "Method not found!").end(context)
        self.many.append(len(request.requests))
        return GenerateManyResponse(outcomes=[self._outcome(one.request, context) for one in request.requests])

    def StreamSamples(  # noqa: N802
        self, request: StreamSamplesRequest, context: Any
    ) -> Iterator[StreamSamplesResponse]:
        self.requests.append(request)
        self._refuse_other_names(request.query.model.name, context)
        if self.obeys_pins and request.query.model.digest not in ("", self.digest):
            Failure(grpc.StatusCode.FAILED_PRECONDITION, "another digest").end(context)
        num_replies, failure = self.stream.popleft() if self.stream else (2**63, None)
        size = min(self.stream_batch, request.max_batch_size or self.stream_batch)
        starts = range(0, request.query.address.count, size)
        for start in starts:
            if failure and start // size >= num_replies:
                failure.end(context)
            if self.hold and start:
                self.hold.wait(5)
            count = min(size, request.query.address.count - start)
            yield StreamSamplesResponse(batch=self._batch(request.query, start + self.stream_lag, count, self.digest))

    def GetModel(self, request: GetModelRequest, context: Any) -> GetModelResponse:  # noqa: N802
        self.requests.append(request)
        if request.model.name in self.further:
            return GetModelResponse(model=ServedModel(identity=self._further(request.model.name), state=self.state))
        self._refuse_other_names(request.model.name, context)
        if request.model.digest not in ("", self.digest):
            Failure(grpc.StatusCode.FAILED_PRECONDITION, "another digest").end(context)
        return GetModelResponse(model=self.served())

    def ListModels(self, request: ListModelsRequest, context: Any) -> ListModelsResponse:  # noqa: ARG002, N802
        self.requests.append(request)
        return ListModelsResponse(models=[self.served()])

    def served(self) -> ServedModel:
        return ServedModel(
            identity=ModelIdentity(name=self.name, version=2, digest=self.digest),
            card=ModelCard(
                latent_dim=LATENT_DIM,
                image=ImageShape(height=HEIGHT, width=WIDTH, channels=CHANNELS),
                class_names=self.class_names,
                architecture="mlp",
                loss="non-saturating",
                dataset=DatasetFingerprint(name="digits", num_images=1797),
                metrics={"fid": 12.5},
            ),
            state=self.state,
            runtime=Runtime(device="cpu", lanes=1),
            max_samples_per_request=self.max_samples,
        )

    def _further(self, name: str) -> ModelIdentity:
        return ModelIdentity(name=name, version=1, digest=self.further[name])

    def _outcome(self, request: GenerateRequest, of_all: Any) -> Outcome:
        context = _OneOfMany(of_all)
        try:
            return Outcome(response=self.Generate(request, context))
        except _EndedError as ended:
            return Outcome(refusal=ended.refusal(context.trailers.get(STATUS_DETAILS_KEY, b"")))

    def _refuse_other_names(self, name: str, context: Any) -> None:
        if name != self.name:
            Failure(grpc.StatusCode.NOT_FOUND, f"no model {name!r}", field="model.name").end(context)

    def _count(self, query: SampleQuery) -> int:
        return len(query.address.indices) or query.address.count or len(query.latents.values) // (4 * LATENT_DIM)

    def _batch(self, query: SampleQuery, start: int, count: int, digest: str) -> SampleBatch:
        seed = query.address.seed if query.HasField("address") else None
        asked = list(query.address.indices)
        first_index = query.address.first_index + start
        indices: Sequence[int] = asked[start : start + count] or range(first_index, first_index + count)
        labels = self._labels(query, seed, indices)
        batch = SampleBatch(
            model=ModelIdentity(name=self.name, version=2, digest=digest),
            count=count,
            image=ImageShape(height=HEIGHT, width=WIDTH, channels=CHANNELS),
            seed=seed,
            first_index=indices[0],
            indices=indices if asked else None,
            labels=labels,
            class_names=[self.class_names[label] for label in labels],
            format=query.encoding.format,
            spread=query.address.spread if self.knows_spread and query.address.HasField("spread") else None,
        )
        if self.knows_chains and query.HasField("best_of"):
            batch.best_of = query.best_of.candidates
            batch.scorer.CopyFrom(self._further(query.best_of.scorer.name))
            batch.scores.add(name="own_class", values=range(count))
        if self.knows_chains:
            batch.then.extend(self._further(selector.name) for selector in query.then)
        if seed is None:
            values = np.frombuffer(query.latents.values, "<f4")[::LATENT_DIM].astype(np.uint8)
        else:
            values = np.array([(seed + index) % 256 for index in indices], np.uint8)
        images = np.broadcast_to(values[:, None, None, None], (count, HEIGHT, WIDTH, CHANNELS))
        if is_raw(query.encoding):
            batch.pixels = images.tobytes()
        else:
            batch.files.extend(encode(image, query.encoding) for image in images)
        return batch

    def _labels(self, query: SampleQuery, seed: int | None, indices: Sequence[int]) -> list[int]:
        if not self.class_names:
            return []
        if not query.address.indices:
            labels: list[int] = sample_labels(query.labels, self.class_names, seed, indices[0], len(indices)).tolist()
            return labels
        return [int(sample_labels(query.labels, self.class_names, seed, index, 1)[0]) for index in indices]


class _Current:
    """The methods of a script as they are when they are called, so that a test may replace one at any time."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def __getattr__(self, name: str) -> Any:
        return lambda request, context: getattr(self._script, name)(request, context)


class _OneOfMany:
    """The context of a request that came with others."""

    def __init__(self, context: Any) -> None:
        self.trailers: dict[str, bytes] = {}
        self.add_callback = context.add_callback

    def set_trailing_metadata(self, metadata: Sequence[tuple[str, bytes]]) -> None:
        self.trailers = dict(metadata)

    def invocation_metadata(self) -> tuple[()]:
        return ()

    def abort(self, code: grpc.StatusCode, details: str) -> None:
        raise _EndedError(code, details)


class _EndedError(Exception):
    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        self.code = code
        self.details = details

    def refusal(self, raw_details: bytes) -> Refusal:
        try:
            refusal = Refusal.FromString(raw_details)
        except DecodeError:
            refusal = Refusal()
        refusal.code, refusal.message = self.code.value[0], max(self.details, refusal.message, key=len)
        return refusal


class ScriptedServer:
    """Runs a script on 127.0.0.1, on a free port or a given one, or on a gRPC target such as `unix:/path`."""

    def __init__(self, script: Script, port: int = 0, target: str = "") -> None:
        self.script = script
        self._pool = ThreadPoolExecutor(8)
        self._server = grpc.server(self._pool, options=[("grpc.so_reuseport", 0)])
        add_GeneratorServiceServicer_to_server(_Current(script), self._server)  # type: ignore[arg-type]
        self.port = self._server.add_insecure_port(target or f"127.0.0.1:{port}")
        self.address = target or f"127.0.0.1:{self.port}"
        self._server.start()

    def stop(self, grace_s: float = 0) -> None:
        """Refuses new calls, and ends those under way after the grace."""
        if self.script.hold:
            self.script.hold.set()
        self._server.stop(grace_s).wait()
        self._pool.shutdown()


def image_values(images: np.ndarray[Any, np.dtype[np.uint8]]) -> list[int]:
    """The one value that fills each image."""
    assert math.prod(images.shape[1:]) == HEIGHT * WIDTH * CHANNELS
    assert (images == images[:, :1, :1, :1]).all()
    values: list[int] = images[:, 0, 0, 0].tolist()
    return values
