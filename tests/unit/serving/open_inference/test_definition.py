"""The protocol's definition: what is generated of it, and that it minds nobody else's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_tools import protoc

from ganserve.serving.descriptors import Descriptors
from ganserve.serving.open_inference import inference_pb2
from ganserve.serving.open_inference.service import OpenInferenceService
from ganserve.v1 import generator_pb2

SERVING = Path(__file__).resolve().parents[4] / "serving"
FOLDER = SERVING / "ganserve" / "serving" / "open_inference"

# What tritonclient does when it is imported: other fields under the same names, in the process's common pool.
OTHERS_FIRST = """
import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message_factory import GetMessageClass

file = FileDescriptorProto(name="grpc_service.proto", package="inference", syntax="proto3")
for name in ("ModelInferRequest", "ModelInferResponse", "ModelConfig"):
    message = file.message_type.add(name=name)
    message.field.add(name="model_name", number=1, type="TYPE_STRING", label="LABEL_OPTIONAL")
    message.field.add(name="id", number=3, type="TYPE_STRING", label="LABEL_OPTIONAL")
service = file.service.add(name="GRPCInferenceService")
ends = {"input_type": ".inference.ModelInferRequest", "output_type": ".inference.ModelInferResponse"}
service.method.add(name="ModelInfer", **ends)
common = descriptor_pool.Default()
common.Add(file)
theirs = GetMessageClass(common.FindMessageTypeByName("inference.ModelInferRequest"))
"""
THEN_OURS = """
from ganserve.serving.descriptors import Descriptors
from ganserve.serving.open_inference import inference_pb2
from ganserve.serving.open_inference.service import OpenInferenceService

ours = inference_pb2.ModelInferRequest
assert ours is not theirs and "parameters" not in theirs.DESCRIPTOR.fields_by_name
sent = ours.FromString(theirs(model_name="digits", id="1").SerializeToString())
assert (sent.model_name, sent.id) == ("digits", "1")
told = Descriptors(OpenInferenceService.descriptors).FindFileContainingSymbol(OpenInferenceService.name)
assert told.name == "ganserve/serving/open_inference/inference.proto", told.name
print("both")
"""


def test_what_is_generated_is_up_to_date(tmp_path: Path) -> None:
    """`make protos` generates it."""
    name = str((FOLDER / "inference.proto").relative_to(SERVING))
    plugin = Path(sys.executable).parent / "protoc-gen-mypy"
    arguments = (
        f"--proto_path={SERVING}",
        f"--descriptor_set_out={tmp_path / 'inference.binpb'}",
        f"--plugin=protoc-gen-mypy={plugin}",
        f"--mypy_out=quiet,readable_stubs:{tmp_path}",
    )
    assert protoc.main(["protoc", *arguments, name]) == 0
    assert (tmp_path / "inference.binpb").read_bytes() == (FOLDER / "inference.binpb").read_bytes()
    stub = tmp_path / "ganserve" / "serving" / "open_inference" / "inference_pb2.pyi"
    assert stub.read_text() == (FOLDER / "inference_pb2.pyi").read_text()


def test_the_same_names_may_be_registered_first_by_others() -> None:
    done = subprocess.run([sys.executable, "-c", OTHERS_FIRST + THEN_OURS], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("both\n", "", 0)


def test_the_same_names_may_be_registered_afterwards_by_others() -> None:
    code = f"import ganserve.serving.open_inference.service\n{OTHERS_FIRST}{THEN_OURS}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("both\n", "", 0)


def test_every_name_of_the_stub_is_there() -> None:
    file = inference_pb2.DESCRIPTOR
    for name, message in file.message_types_by_name.items():
        assert getattr(inference_pb2, name).DESCRIPTOR is message
    assert inference_pb2.DataType.Value("TYPE_FP32") == inference_pb2.TYPE_FP32 == 11
    assert inference_pb2.ModelInstanceGroup.KIND_CPU == 2


def test_reflection_knows_what_lies_in_either_pool() -> None:
    descriptors = Descriptors(generator_pb2.DESCRIPTOR.pool, OpenInferenceService.descriptors)
    for symbol in ("ganserve.v1.GeneratorService", "inference.ModelConfig", "grpc.health.v1.Health"):
        file = descriptors.FindFileContainingSymbol(symbol)
        assert descriptors.FindFileByName(file.name) is file
    message = descriptors.FindMessageTypeByName("inference.ModelInferRequest")
    assert descriptors.FindAllExtensions(message) == []
    options = descriptors.FindMessageTypeByName(FileDescriptorProto.DESCRIPTOR.full_name)
    assert options is descriptor_pool.Default().FindMessageTypeByName(FileDescriptorProto.DESCRIPTOR.full_name)


def test_every_method_of_the_definition_is_answered() -> None:
    """As every method of our own service is."""
    handler = OpenInferenceService(answers=None).rpc_handler()  # type: ignore[arg-type] # nothing is asked
    for method in inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods:
        routed = handler.service(_CallDetails(f"/{OpenInferenceService.name}/{method.name}"))
        assert routed is not None
        assert routed.request_streaming == method.client_streaming
        assert routed.response_streaming == method.server_streaming


class _CallDetails(grpc.HandlerCallDetails):
    def __init__(self, method: str) -> None:
        self.method = method
        self.invocation_metadata = ()
