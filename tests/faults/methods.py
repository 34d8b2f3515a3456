"""Every method of every service that a server tells of by reflection, and requests that fit them."""

from __future__ import annotations

import random
from functools import cache
from typing import Any, Final

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from hypothesis import strategies as st

_DEEPEST: Final = 5
_INTEGERS: Final = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
# Names that mean something to the server, so that a request gets further than its first check.
_WORDS: Final = ("digits", "plain", "photos", "3", "latents", "labels", "images", "", "digits/1", "../digits")


def methods_of(channel: grpc.Channel) -> dict[str, MethodDescriptor]:
    """The methods of a server, by the path that a call names."""
    database = ProtoReflectionDescriptorDatabase(channel)
    pool = DescriptorPool(database)
    return {
        f"/{service}/{method.name}": method
        for service in database.get_services()
        for method in pool.FindServiceByName(service).methods
    }


@cache
def any_message(kind: Descriptor, depth: int = 0) -> st.SearchStrategy[Message]:
    """Messages of a kind, with any values, sensible ones among them."""
    message_class = GetMessageClass(kind)

    @st.composite
    def draw_message(draw: st.DrawFn) -> Message:
        message: Message = message_class()
        for field in kind.fields:
            if (field.message_type is None or depth < _DEEPEST) and draw(st.integers(0, 3)):
                _set_field(message, field, draw(_values_of(field, depth)))
        return message

    return draw_message()


def _set_field(message: Any, field: FieldDescriptor, value: Any) -> None:
    place = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        for entry in value:
            _set_entry(place, entry)
    elif field.is_repeated:
        place.extend(value)
    elif field.message_type is not None:
        place.CopyFrom(value)
    else:
        setattr(message, field.name, value)


def _set_entry(place: Any, entry: Any) -> None:
    if isinstance(entry.value, Message):
        place[entry.key].CopyFrom(entry.value)
    else:
        place[entry.key] = entry.value


@cache
def _values_of(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    one = _value_of(field, depth)
    return st.lists(one, max_size=3) if field.is_repeated else one


def _value_of(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return any_message(field.message_type, depth + 1)
    if field.enum_type is not None:
        return st.integers(-1, max(value.number for value in field.enum_type.values) + 1)
    if field.cpp_type in _INTEGERS:
        least, most = _INTEGERS[field.cpp_type]
        return st.one_of(st.integers(max(least, -2), 20), st.sampled_from((least, most)), st.integers(least, most))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.one_of(st.binary(max_size=80), st.just(bytes(64)))
    if field.type == FieldDescriptor.TYPE_STRING:
        return st.one_of(st.sampled_from(_WORDS), st.text(max_size=20))
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    return st.one_of(st.floats(0, 2, width=32), st.floats(width=32))


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, left out, put in or repeated; or nothing but noise."""
    mutant = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        place = rng.randint(0, len(mutant))
        action = rng.randrange(5)
        if action == 0 and mutant:
            mutant[min(place, len(mutant) - 1)] = rng.randrange(256)
        elif action == 1:
            del mutant[place : place + rng.randint(1, 8)]
        elif action == 2:
            mutant[place:place] = rng.randbytes(rng.randint(1, 8))
        elif action == 3:
            mutant[place:place] = mutant[rng.randint(0, place) : place]
        else:
            mutant = bytearray(rng.randbytes(rng.randint(0, 64)))
    return bytes(mutant)
