"""Samples as a `ModelInferResponse`, whose raw contents are written without protobuf's copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from ganserve.contract.errors import InvalidRequestError
from ganserve.contract.rows import Column
from ganserve.contract.tensors import field_prefix
from ganserve.serving.answers import Answer

from .inference_pb2 import ModelInferRequest, ModelInferResponse, ModelStreamInferResponse
from .parameters import as_parameter
from .tensors import DATATYPES

FINAL_PARAMETER: Final = "triton_final_response"
_OUTPUT_PARAMETERS_NOT_DONE: Final = ("shared_memory_region", "classification")


def frame_reply(answer: Answer, request: ModelInferRequest) -> bytes:
    """A serialised ModelInferResponse. Raises InvalidRequestError where an output is wanted that there is not."""
    return b"".join(_chunks(answer, request, ModelInferResponse()))


def frame_part(answer: Answer, request: ModelInferRequest, *, is_final: bool) -> bytes:
    """A serialised ModelStreamInferResponse, which says whether it is the request's last. Raises as `frame_reply`."""
    header = ModelInferResponse()
    header.parameters[FINAL_PARAMETER].bool_param = is_final
    chunks = _chunks(answer, request, header)
    prefix = field_prefix(ModelStreamInferResponse.INFER_RESPONSE_FIELD_NUMBER, sum(map(len, chunks)))
    return b"".join((prefix, *chunks))


def frame_error(text: str, request: ModelInferRequest) -> bytes:
    """A serialised ModelStreamInferResponse for a request that was not answered."""
    response = ModelInferResponse(model_name=request.model_name, model_version=request.model_version, id=request.id)
    response.parameters[FINAL_PARAMETER].bool_param = True
    return ModelStreamInferResponse(error_message=text, infer_response=response).SerializeToString()


def check_outputs(request: ModelInferRequest) -> None:
    """Raises InvalidRequestError where outputs are wanted in another way than they are given here."""
    for place, output in enumerate(request.outputs):
        for name in _OUTPUT_PARAMETERS_NOT_DONE:
            if name in output.parameters:
                raise InvalidRequestError(
                    f"the output {output.name[:80]!r} is wanted with {name}, which is not done here; leave it out",
                    field=f"outputs[{place}].parameters",
                )


def _chunks(answer: Answer, request: ModelInferRequest, header: ModelInferResponse) -> Sequence[bytes | memoryview]:
    """The response with all that `header` has, in pieces. The order of fields does not matter."""
    identity, source = answer.model.identity, answer.source
    header.model_name, header.model_version, header.id = identity.name, str(identity.version), request.id
    header.parameters["digest"].string_param = identity.digest
    if source.seed is not None:
        header.parameters["seed"].CopyFrom(as_parameter(source.seed))
        header.parameters["index"].CopyFrom(as_parameter(source.first_index + answer.made.start))
    outputs = _wanted(answer.made.rows.columns, request)
    for name, values in outputs.items():
        header.outputs.add(name=name, datatype=DATATYPES[values.dtype.name], shape=values.shape)
    chunks: list[bytes | memoryview] = [header.SerializeToString()]
    for values in outputs.values():
        chunks += (
            field_prefix(ModelInferResponse.RAW_OUTPUT_CONTENTS_FIELD_NUMBER, values.nbytes),
            values.data.cast("B"),
        )
    return chunks


def _wanted(made: Mapping[str, Column], request: ModelInferRequest) -> Mapping[str, Column]:
    """The outputs that a request asks for, in its order, each with one axis at least beside the samples'."""
    wanted: dict[str, Column] = {}
    for place, name in enumerate([output.name for output in request.outputs] or made):
        if name not in made or name in wanted:
            fault = "there is no output" if name not in made else "there is one output"
            raise InvalidRequestError(
                f"{fault} {name[:80]!r}; this model gives {', '.join(made)}, each once", field=f"outputs[{place}].name"
            )
        values = np.ascontiguousarray(made[name])
        wanted[name] = values if values.ndim > 1 else values[:, np.newaxis]
    return wanted
