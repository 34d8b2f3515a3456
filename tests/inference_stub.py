"""A stub for `inference.GRPCInferenceService`, of the server's own definition of it."""

from __future__ import annotations

from typing import Any

from google.protobuf.message_factory import GetMessageClass

from ganserve.serving.open_inference.inference_pb2 import DESCRIPTOR

SERVICE = "inference.GRPCInferenceService"


class InferenceStub:
    """Has each method of the service, over a channel of threads or of asyncio."""

    def __init__(self, channel: Any) -> None:
        for method in DESCRIPTOR.services_by_name["GRPCInferenceService"].methods:
            kind = channel.stream_stream if method.client_streaming else channel.unary_unary
            request, reply = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
            call = kind(
                f"/{SERVICE}/{method.name}",
                request_serializer=request.SerializeToString,
                response_deserializer=reply.FromString,
            )
            setattr(self, method.name, call)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)
