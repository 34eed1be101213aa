"""Loki's push request in protobuf, compressed with snappy: what Promtail, Alloy, and most libraries send.

The messages are those of pkg/push/push.proto in https://github.com/grafana/loki. Texts are read as bytes: what is not
UTF-8 is mended, where protobuf would refuse the whole request.
"""

import ast
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import orjson
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.message import DecodeError

from logbrook.config import Gateway
from logbrook.errors import RejectedError
from logbrook.gateway.batch import Batch
from logbrook.gateway.formats import loki
from logbrook.gateway.formats.format import Format
from logbrook.gateway.formats.otlp import numbered
from logbrook.gateway.formats.unfit import Unfit, check_part, pack
from logbrook.gateway.formats.wire import Part, Wire

_STREAMS, _ENTRIES = 1, 2
_SCALARS = {
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "int32": FieldDescriptorProto.TYPE_INT32,
}
# Each with its fields from number 1 on; those with a star are repeated.
_FIELDS = {
    "PushRequest": {"streams": "Stream*"},
    "Stream": {"labels": "bytes", "entries": "Entry*"},
    "Entry": {"timestamp": "Time", "line": "bytes", "metadata": "Pair*"},
    "Time": {"seconds": "int64", "nanos": "int32"},
    "Pair": {"name": "bytes", "value": "bytes"},
}
# Label names are those of Prometheus, their values texts of Go.
_LABEL = re.compile(r'\s*+([^\s={},"]++)\s*+=\s*+("(?:[^"\\]|\\.)*+"|`[^`]*+`)\s*+,?')


def _kinds() -> list[Any]:
    """The classes of PushRequest, Stream, and Entry."""
    kind, file = FieldDescriptorProto, FileDescriptorProto(name="push.proto", package="push", syntax="proto3")
    for message, fields in _FIELDS.items():
        made = file.message_type.add(name=message)
        for number, (field, of) in enumerate(fields.items(), 1):
            one = made.field.add(name=field, number=number, label=kind.LABEL_OPTIONAL)
            one.type = _SCALARS.get(of, kind.TYPE_MESSAGE)
            if of not in _SCALARS:
                one.type_name = f".push.{of.rstrip('*')}"
            if of.endswith("*"):
                one.label = kind.LABEL_REPEATED
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = (pool.FindMessageTypeByName(f"push.{name}") for name in ("PushRequest", "Stream", "Entry"))
    return [message_factory.GetMessageClass(each) for each in found]


_PUSH, _STREAM, _ENTRY = _kinds()


def read(body: bytes, settings: Gateway) -> Batch:
    """All entries. Raises RejectedError as `loki.read` does."""
    try:
        return pack(_entries(body, settings), "entry", settings)
    except (DecodeError, Unfit) as error:
        raise RejectedError(400, "broken_push", f"The body is not a push request of Loki: {error}") from None


def _entries(body: bytes, settings: Gateway) -> Iterator[Callable[[], bytes]]:
    """A large request is built in parts, so that it takes little more memory than its bytes."""
    wire = Wire(body, settings)
    for part in wire.cut(wire.whole(), _STREAMS)[1]:
        if part.alone:
            yield from _large_stream(wire, part, settings)
        else:
            for stream in _PUSH.FromString(wire[part]).streams:
                common = loki.shared(labels(_text(stream.labels)))
                for entry in stream.entries:
                    yield partial(_event, entry, common)


def _large_stream(wire: Wire, stream: Part, settings: Gateway) -> Iterator[Callable[[], bytes]]:
    head, parts = wire.cut(stream, _ENTRIES)
    common = loki.shared(labels(_text(_STREAM.FromString(head).labels)))

    def read_large(entry: Part) -> bytes:
        check_part(entry.stop - entry.start, settings)
        return _event(_ENTRY.FromString(wire[entry]), common)

    for part in parts:
        if part.alone:
            yield partial(read_large, part)
        else:
            for entry in _STREAM.FromString(wire[part]).entries:
                yield partial(_event, entry, common)


def labels(text: str) -> dict[str, str]:
    """A stream's labels, as `{name="value"}`. What can't be read is one label, `stream`."""
    inner, at = text.strip().removeprefix("{").removesuffix("}"), 0
    found: dict[str, str] = {}
    while label := _LABEL.match(inner, at):
        found[label[1]] = _unquoted(label[2])
        at = label.end()
    return {"stream": text} if inner[at:].strip() else found


def _unquoted(value: str) -> str:
    """Go's escapes are also Python's."""
    if value[0] == '"' and "\\" in value:
        try:
            return _text(str(ast.literal_eval(value)).encode(errors="replace"))
        except (SyntaxError, ValueError):
            pass
    return value[1:-1]


def _event(entry: Any, common: bytes) -> bytes:
    time = entry.timestamp
    metadata = orjson.dumps(numbered((_text(pair.name), _text(pair.value)) for pair in entry.metadata))[1:-1]
    return b'{"timestamp":"%d","body":%b%b%b}' % (
        time.seconds * 1_000_000_000 + time.nanos,
        orjson.dumps(_text(entry.line)),
        common,
        metadata and b"," + metadata,
    )


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


FORMAT = Format("/loki/api/v1/push", (), read, loki.taken, loki.refused, encoding="snappy")
