"""Requests that a server answers, to be mutated: what is nearly right gets further into it than what is random."""

from __future__ import annotations

from typing import Final

import numpy as np
from google.protobuf.message import Message

from ganserve.serving.open_inference.inference_pb2 import InferParameter, InferTensorContents, ModelInferRequest
from ganserve.v1.admin_pb2 import LoadModelRequest, RemoveAliasRequest, SetAliasRequest
from ganserve.v1.generator_pb2 import (
    Balanced,
    ClassList,
    ClassReference,
    ExplicitLatents,
    GenerateManyRequest,
    GenerateRequest,
    GetModelRequest,
    ImageEncoding,
    ImageFormat,
    LabelPolicy,
    ModelSelector,
    SampleAddress,
    SampleQuery,
    StreamSamplesRequest,
    TimedRequest,
)

_DIGITS: Final = ModelSelector(name="digits", version=1)
_QUERIES: Final = (
    SampleQuery(
        model=_DIGITS,
        address=SampleAddress(seed=7, first_index=3, count=2, truncation=0.5),
        labels=LabelPolicy(list=ClassList(classes=[ClassReference(name="3"), ClassReference(label=1)])),
        encoding=ImageEncoding(format=ImageFormat.IMAGE_FORMAT_JPEG, quality=80),
    ),
    SampleQuery(
        model=_DIGITS,
        latents=ExplicitLatents(dim=16, values=bytes(64)),
        labels=LabelPolicy(one=ClassReference(label=4)),
    ),
    SampleQuery(model=_DIGITS, address=SampleAddress(count=1), labels=LabelPolicy(balanced=Balanced())),
)
_GENERATE: Final = [GenerateRequest(query=query) for query in _QUERIES]

_Tensor = ModelInferRequest.InferInputTensor
_INFER: Final = [
    ModelInferRequest(
        model_name="digits",
        parameters={
            "seed": InferParameter(int64_param=1),
            "count": InferParameter(int64_param=2),
            "label": InferParameter(int64_param=3),
        },
    ),
    ModelInferRequest(
        model_name="digits",
        inputs=[
            _Tensor(name="latents", datatype="FP32", shape=[2, 16]),
            _Tensor(name="labels", datatype="INT64", shape=[2, 1]),
        ],
        raw_input_contents=[np.zeros((2, 16), np.float32).tobytes(), bytes(16)],
    ),
    ModelInferRequest(
        model_name="plain",
        inputs=[
            _Tensor(
                name="latents",
                datatype="FP32",
                shape=[2, 16],
                contents=InferTensorContents(fp32_contents=[0.5] * 32),
            )
        ],
    ),
]

_BY_METHOD: Final[dict[str, list[Message]]] = {
    "Generate": [*_GENERATE],
    "GenerateMany": [GenerateManyRequest(requests=[TimedRequest(request=request) for request in _GENERATE])],
    "StreamSamples": [StreamSamplesRequest(query=query, max_batch_size=2) for query in _QUERIES],
    "GetModel": [GetModelRequest(model=_DIGITS)],
    "LoadModel": [LoadModelRequest(name="digits", version=1)],
    "SetAlias": [SetAliasRequest(name="digits", alias="stable", version=2)],
    "RemoveAlias": [RemoveAliasRequest(name="digits", alias="stable")],
    "ModelInfer": [*_INFER],
    "ModelStreamInfer": [*_INFER],
    "ModelMetadata": [*_INFER],  # begins as they do, with a name and a version
    "ModelStatistics": [*_INFER],
}


def sensible_requests(path: str) -> list[bytes]:
    """Requests that fit a method, by the path that a call names."""
    return [message.SerializeToString() for message in _BY_METHOD.get(path.rpartition("/")[2], ())]
