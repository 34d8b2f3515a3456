"""What a `ModelInferRequest` asks for, in the words of the rest of the server, and what is wrong in its own words."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from ganserve.contract.errors import InvalidRequestError, RequestError
from ganserve.contract.selectors import ALIAS, VERSIONS
from ganserve.runtime.tensor_query import TensorQuery
from ganserve.serving.answers import Query
from ganserve.serving.scheduler import Caller
from ganserve.v1.generator_pb2 import ModelSelector, SampleQuery

from .inference_pb2 import ModelInferRequest
from .parameters import Wishes, check_names, check_no_address, read_address, read_wishes
from .replies import check_outputs
from .tensors import count_typed, read_tensors

_READ_AT_ONCE: Final = 1024
_FIELDS: Final[Mapping[str, str]] = {
    "query.model.name": "model_name",
    "query.model.digest": "parameters.digest",
    "query.address.first_index": "parameters.index",
    "query.address.count": "parameters.count",
    "query.address.truncation": "parameters.truncation",
    "query.address.spread": "parameters.spread",
    "query.labels": "parameters.label",
    "query.labels.one": "parameters.label",
    "query.latents.values": "inputs",
}


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A request that was read.

    Attributes:
        query: which samples.
        count: how many.
        wishes: how they are wanted.
    """

    query: Query
    count: int
    wishes: Wishes

    def adjust(self, caller: Caller) -> Caller:
        """The caller, with the priority and the timeout that the request asks for."""
        deadline_s = caller.deadline_s
        if self.wishes.timeout_s is not None:
            own_s = time.monotonic() + self.wishes.timeout_s
            deadline_s = own_s if deadline_s is None else min(own_s, deadline_s)
        return replace(caller, priority=self.wishes.priority or caller.priority, deadline_s=deadline_s)


async def read_request(request: ModelInferRequest) -> Ask:
    """Reads a request. Many typed values are read off the event loop. Raises InvalidRequestError."""
    if count_typed(request) <= _READ_AT_ONCE:
        return _read(request)
    return await asyncio.to_thread(_read, request)


def select(name: str, version: str, *, field: str) -> ModelSelector:
    """The model of a name and a version or alias, which may be empty. Raises InvalidRequestError."""
    selector = ModelSelector(name=name)
    if ALIAS.fullmatch(version):
        selector.alias = version
    elif version:
        if not (version.isascii() and version.isdecimal() and len(version) <= 10 and int(version) in VERSIONS):
            raise InvalidRequestError(
                f"the version is {version[:80]!r}; give a whole number, such as '1', or an alias, or leave it out",
                field=field,
            )
        selector.version = int(version)
    return selector


@contextmanager
def own_fields(names: Mapping[str, str] = _FIELDS) -> Iterator[None]:
    """Has errors of the body name the fields of this protocol, by those of the contract."""
    try:
        yield
    except RequestError as error:
        error.field = names.get(error.field, error.field)
        raise


def _read(request: ModelInferRequest) -> Ask:
    check_names(request.parameters)
    check_outputs(request)
    wishes = read_wishes(request.parameters)
    model = select(request.model_name, request.model_version, field="model_version")
    model.digest = wishes.digest
    if not request.inputs:
        if request.raw_input_contents:
            raise InvalidRequestError("there are raw contents and no inputs", field="raw_input_contents")
        address = read_address(request.parameters)
        query = SampleQuery(model=model, address=address, labels=wishes.labels)
        return Ask(query=query, count=address.count, wishes=wishes)
    check_no_address(request.parameters)
    tensors = read_tensors(request)
    rows = max(map(len, tensors.values()))
    return Ask(query=TensorQuery(model=model, inputs=tensors, labels=wishes.labels), count=rows, wishes=wishes)
