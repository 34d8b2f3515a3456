"""The messages of `inference.proto`, in a pool of their own.

What protoc writes would register them in the process's one pool, under names that tritonclient, kserve and mlserver
register there too, each with fields of its own. `inference.binpb` and the types in `inference_pb2.pyi` are generated.
"""

from importlib.resources import files

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message_factory import GetMessageClass

_pool = DescriptorPool()
(_file,) = FileDescriptorSet.FromString(files(__package__).joinpath("inference.binpb").read_bytes()).file
_pool.AddSerializedFile(_file.SerializeToString())

DESCRIPTOR = _pool.FindFileByName(_file.name)
for _name, _message in DESCRIPTOR.message_types_by_name.items():
    globals()[_name] = GetMessageClass(_message)
for _name, _enum in DESCRIPTOR.enum_types_by_name.items():
    globals()[_name] = EnumTypeWrapper(_enum)
    globals().update({value.name: value.number for value in _enum.values})
