"""OTLP's protobuf, taken apart."""

import base64
from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from logbrook.errors import RejectedError
from logbrook.gateway import otlp_mend
from logbrook.gateway.otlp import MAX_DEPTH, Group, Unfit, fields, number, scope


def groups(body: bytes) -> Iterator[Group]:
    """The records of an ExportLogsServiceRequest. Raises RejectedError (400) if it is none."""
    for resource_logs in _decode(body).resource_logs:
        resource = _attributes(resource_logs.resource.attributes)
        for scope_logs in resource_logs.scope_logs:
            source = scope_logs.scope
            made = scope(source.name, source.version, _attributes(source.attributes), scope_logs.schema_url)
            yield Group(resource, resource_logs.schema_url, made, scope_logs.log_records, _fields)


def _decode(body: bytes) -> ExportLogsServiceRequest:
    try:
        return ExportLogsServiceRequest.FromString(body)
    except DecodeError as error:
        mended = otlp_mend.mended(body)
        if mended is None:
            raise RejectedError(400, "broken_protobuf", f"The body is no ExportLogsServiceRequest: {error}") from None
    return ExportLogsServiceRequest.FromString(mended)


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


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    # Most values are strings: one look at the field is less than half of asking which one is set.
    return {pair.key: pair.value.string_value or _value(pair.value) for pair in pairs}


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
