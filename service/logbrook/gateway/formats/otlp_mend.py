"""Protobuf whose strings are not UTF-8: protobuf refuses it, but some libraries (the collector's) send it unchecked.

On the wire a string and bytes are the same. So such a request is read by a schema that has bytes where OTLP has
strings, its strings are mended, and it is written again.
"""

from collections.abc import Iterable

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.resource.v1 import resource_pb2

from logbrook.gateway.formats import mend


def mended(kind: type[Message], body: bytes) -> bytes | None:
    """A message of this kind with its strings made UTF-8; None if it is broken in another way."""
    try:
        loose = _LOOSE.FindMessageTypeByName(kind.DESCRIPTOR.full_name)
        message = message_factory.GetMessageClass(loose).FromString(body)
    except DecodeError:
        return None
    _mend(message)
    return message.SerializeToString()


def _mend(message: Message) -> None:
    for field, value in message.ListFields():
        values = value if field.is_repeated else [value]
        if field.message_type is not None:
            for each in values:
                _mend(each)
        elif field.full_name in _STRINGS and field.is_repeated:
            value[:] = [mend.utf8(each) for each in values]
        elif field.full_name in _STRINGS:
            setattr(message, field.name, mend.utf8(value))


def _loosen(messages: Iterable[DescriptorProto], prefix: str) -> set[str]:
    """Turn string fields into bytes; their full names."""
    strings = set()
    for message in messages:
        name = f"{prefix}.{message.name}"
        for field in message.field:
            if field.type == FieldDescriptorProto.TYPE_STRING:
                field.type = FieldDescriptorProto.TYPE_BYTES
                strings.add(f"{name}.{field.name}")
        strings |= _loosen(message.nested_type, name)
    return strings


def _schema() -> tuple[descriptor_pool.DescriptorPool, set[str]]:
    pool = descriptor_pool.DescriptorPool()
    strings = set()
    for module in (common_pb2, resource_pb2, logs_pb2, logs_service_pb2):
        file = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        strings |= _loosen(file.message_type, file.package)
        pool.Add(file)
    return pool, strings


_LOOSE, _STRINGS = _schema()
