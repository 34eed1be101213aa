"""OTLP's protobuf, taken apart."""

import base64
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from starlette.responses import Response

from logbrook import leb128
from logbrook.config import Gateway
from logbrook.errors import RejectedError, UnavailableError
from logbrook.gateway import answers
from logbrook.gateway.batch import Batch
from logbrook.gateway.formats import otlp, otlp_mend
from logbrook.gateway.formats.format import Format
from logbrook.gateway.formats.otlp import MAX_DEPTH, Group, fields, number, numbered, scope
from logbrook.gateway.formats.unfit import Unfit, check_part
from logbrook.gateway.formats.wire import Part, Wire

_M = TypeVar("_M", bound=Message)
_CONTENT_TYPE = "application/x-protobuf"


def groups(body: bytes, settings: Gateway) -> Iterator[Group]:
    """The records of an ExportLogsServiceRequest. Raises RejectedError (400) if it is not one.

    A large one is built in parts, so that it takes little more memory than its bytes.
    """
    wire = Wire(body, settings)
    for part in wire.cut(wire.whole(), ExportLogsServiceRequest.RESOURCE_LOGS_FIELD_NUMBER)[1]:
        if part.alone:
            yield from _large_resource_logs(wire, part, settings)
        else:
            for resource_logs in _parse(ExportLogsServiceRequest, wire[part]).resource_logs:
                for scope_logs in resource_logs.scope_logs:
                    yield _group(resource_logs, scope_logs, scope_logs.log_records)


def _large_resource_logs(wire: Wire, message: Part, settings: Gateway) -> Iterator[Group]:
    head, parts = wire.cut(message, ResourceLogs.SCOPE_LOGS_FIELD_NUMBER)
    resource_logs = _parse(ResourceLogs, head)
    for part in parts:
        if part.alone:
            yield from _large_scope_logs(wire, part, resource_logs, settings)
        else:
            for scope_logs in _parse(ResourceLogs, wire[part]).scope_logs:
                yield _group(resource_logs, scope_logs, scope_logs.log_records)


def _large_scope_logs(wire: Wire, message: Part, resource_logs: ResourceLogs, settings: Gateway) -> Iterator[Group]:
    head, parts = wire.cut(message, ScopeLogs.LOG_RECORDS_FIELD_NUMBER)
    scope_logs = _parse(ScopeLogs, head)

    def read(record: Part) -> dict[str, Any]:
        check_part(record.stop - record.start, settings)
        return _fields(_parse(LogRecord, wire[record]))

    for part in parts:
        if part.alone:
            yield _group(resource_logs, scope_logs, [part], read)
        else:
            yield _group(resource_logs, scope_logs, _parse(ScopeLogs, wire[part]).log_records)


def _group(
    resource_logs: ResourceLogs,
    scope_logs: ScopeLogs,
    records: Iterable[Any],
    read: Callable[[Any], dict[str, Any]] | None = None,
) -> Group:
    resource, source = _attributes(resource_logs.resource.attributes), scope_logs.scope
    made = scope(source.name, source.version, _attributes(source.attributes), scope_logs.schema_url)
    return Group(resource, resource_logs.schema_url, made, records, read or _fields)


def _parse(kind: type[_M], body: bytes) -> _M:
    try:
        return kind.FromString(body)
    except DecodeError as error:
        mended = otlp_mend.mended(kind, body)
        if mended is None:
            reason = f"The body is not an ExportLogsServiceRequest: {error}"
            raise RejectedError(400, "broken_protobuf", reason) from None
    return kind.FromString(mended)


def _fields(record: LogRecord) -> dict[str, Any]:
    body = record.body
    return fields(
        time=record.time_unix_nano,
        observed=record.observed_time_unix_nano,
        severity_text=record.severity_text,
        severity_number=record.severity_number,
        body=body.string_value or _value(body),
        trace_id=record.trace_id.hex(),
        span_id=record.span_id.hex(),
        flags=record.flags,
        event_name=record.event_name,
        attributes=_attributes(record.attributes),
        dropped=record.dropped_attributes_count,
    )


def _attributes(pairs: Collection[KeyValue]) -> dict[str, Any]:
    # Most values are strings: one look at the field is less than half of asking which one is set.
    made = {pair.key: pair.value.string_value or _value(pair.value) for pair in pairs}
    return made if len(made) == len(pairs) else numbered((pair.key, _value(pair.value)) for pair in pairs)


def _value(value: AnyValue, depth: int = 0) -> Any:
    """A value as JSON has it: bytes in base64, what is unset as null. Raises Unfit if it is nested too deeply."""
    if depth > MAX_DEPTH:
        raise Unfit(f"a value is nested more than {MAX_DEPTH} deep")
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    content = getattr(value, kind)
    if kind == "kvlist_value":
        return {pair.key: _value(pair.value, depth + 1) for pair in content.values}
    if kind == "array_value":
        return [_value(each, depth + 1) for each in content.values]
    if kind == "bytes_value":
        return base64.b64encode(content).decode()
    if kind == "double_value":
        return number(content)
    return content


def read(body: bytes, settings: Gateway) -> Batch:
    """All records. Raises RejectedError as `otlp.read` does."""
    return otlp.read(groups(body, settings), settings)


def taken(batch: Batch) -> Response:
    """An ExportLogsServiceResponse."""
    return Response(response(batch), media_type=_CONTENT_TYPE)


def response(batch: Batch) -> bytes:
    """An ExportLogsServiceResponse, with the records that could not be taken, if any."""
    made = ExportLogsServiceResponse()
    if batch.rejected:
        made.partial_success.rejected_log_records = batch.rejected
        made.partial_success.error_message = batch.reason
    return made.SerializeToString()


def refused(error: RejectedError | UnavailableError) -> Response:
    """A google.rpc.Status."""
    return Response(status(error), error.status, answers.headers(error), _CONTENT_TYPE)


def status(error: RejectedError | UnavailableError) -> bytes:
    """google.rpc.Status: its fields are code, message, and details: RetryInfo, where the same may be sent again."""
    made = b"\x08" + bytes([otlp.code(error)]) + _field(2, str(error).encode())
    if isinstance(error, UnavailableError):
        # Its field 1 is a Duration, of which field 1 are the seconds.
        info = _field(1, b"\x08" + bytes([min(error.retry_after_seconds, 127)]))
        made += _field(3, _field(1, b"type.googleapis.com/google.rpc.RetryInfo") + _field(2, info))
    return made


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes."""
    return bytes([number << 3 | 2]) + leb128.string(content)


FORMAT = Format("/v1/logs", (_CONTENT_TYPE, "application/protobuf"), read, taken, refused)
