"""OTLP's JSON, taken apart: ids in hexadecimal, integers as numbers or text, unknown fields left alone."""

import base64
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber

from logbrook.errors import RejectedError
from logbrook.gateway import mend
from logbrook.gateway.otlp import MAX_DEPTH, Group, Unfit, fields, number, scope

_Integer = int | str | None


class _Value(msgspec.Struct, rename="camel"):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: _Integer = None
    double_value: float | str | None = None
    array_value: "_Array | None" = None
    kvlist_value: "_Pairs | None" = None
    bytes_value: str | None = None


class _Array(msgspec.Struct):
    values: list[_Value | None] | None = None


class _Pair(msgspec.Struct):
    key: str | None = None
    value: _Value | None = None


class _Pairs(msgspec.Struct):
    values: list[_Pair] | None = None


class _Record(msgspec.Struct, rename="camel"):
    time_unix_nano: _Integer = None
    observed_time_unix_nano: _Integer = None
    severity_number: _Integer = None
    severity_text: str | None = None
    body: _Value | None = None
    attributes: list[_Pair] | None = None
    dropped_attributes_count: _Integer = None
    flags: _Integer = None
    trace_id: str | None = None
    span_id: str | None = None
    event_name: str | None = None


class _Scope(msgspec.Struct):
    name: str | None = None
    version: str | None = None
    attributes: list[_Pair] | None = None


class _ScopeLogs(msgspec.Struct, rename="camel"):
    scope: _Scope | None = None
    log_records: list[_Record] | None = None
    schema_url: str | None = None


class _Resource(msgspec.Struct):
    attributes: list[_Pair] | None = None


class _ResourceLogs(msgspec.Struct, rename="camel"):
    resource: _Resource | None = None
    scope_logs: list[_ScopeLogs] | None = None
    schema_url: str | None = None


class _Request(msgspec.Struct, rename="camel"):
    resource_logs: list[_ResourceLogs] | None = None


_DECODER = msgspec.json.Decoder(_Request)


def groups(body: bytes) -> Iterator[Group]:
    """The records of an ExportLogsServiceRequest in JSON. Raises RejectedError (400) if it is none."""
    for resource_logs in _decode(body).resource_logs or ():
        resource = _attributes(resource_logs.resource.attributes if resource_logs.resource else None)
        for scope_logs in resource_logs.scope_logs or ():
            source = scope_logs.scope or _Scope()
            made = scope(source.name, source.version, _attributes(source.attributes), scope_logs.schema_url)
            yield Group(resource, resource_logs.schema_url or "", made, scope_logs.log_records or (), _fields)


def _decode(body: bytes) -> _Request:
    try:
        return _DECODER.decode(body)
    except RecursionError:
        raise RejectedError(400, "too_deep", "The JSON is nested too deeply.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        try:
            return _DECODER.decode(mend.surrogates(mend.utf8(body)))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise RejectedError(400, "broken_otlp", f"The body is no ExportLogsServiceRequest: {error}") from None


def _fields(record: _Record) -> dict[str, Any]:
    return fields(
        time=_integer(record.time_unix_nano),
        observed=_integer(record.observed_time_unix_nano),
        severity_text=record.severity_text,
        severity_number=_severity(record.severity_number),
        body=_value(record.body),
        trace_id=(record.trace_id or "").lower(),
        span_id=(record.span_id or "").lower(),
        flags=_integer(record.flags),
        event_name=record.event_name,
        attributes=_attributes(record.attributes),
        dropped=_integer(record.dropped_attributes_count),
    )


def _integer(value: _Integer) -> int:
    try:
        return int(value or 0)
    except ValueError:
        raise Unfit(f"{str(value)[:40]!r} is no integer") from None


def _severity(value: _Integer) -> int:
    """The number, also where it is given by the name that protobuf has for it."""
    if isinstance(value, str) and value in SeverityNumber.keys():  # noqa: SIM118 - it is no mapping
        return SeverityNumber.Value(value)
    return _integer(value)


def _attributes(pairs: Sequence[_Pair] | None) -> dict[str, Any]:
    return {pair.key or "": _value(pair.value) for pair in pairs or ()}


def _value(value: _Value | None, depth: int = 0) -> Any:
    """A value as JSON has it: bytes in base64, what is unset as null. Raises Unfit if it can't be one."""
    if value is None:
        return None
    if value.string_value is not None:
        return value.string_value
    if depth > MAX_DEPTH:
        raise Unfit(f"a value is nested more than {MAX_DEPTH} deep")
    if value.kvlist_value is not None:
        return {pair.key or "": _value(pair.value, depth + 1) for pair in value.kvlist_value.values or ()}
    if value.array_value is not None:
        return [_value(each, depth + 1) for each in value.array_value.values or ()]
    if value.bool_value is not None:
        return value.bool_value
    return _scalar(value)


def _scalar(value: _Value) -> Any:
    if value.int_value is not None:
        return _integer(value.int_value)
    if value.double_value is not None:
        try:
            return number(float(value.double_value))
        except ValueError:
            raise Unfit(f"{str(value.double_value)[:40]!r} is no double") from None
    if value.bytes_value is not None:
        return _base64(value.bytes_value)
    return None


def _base64(text: str) -> str:
    """Standard base64 with padding, whichever of the variants that protobuf's JSON allows came in."""
    padded = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        content = base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)
    except ValueError as error:
        # binascii.Error is one, and so is what letters beyond ASCII raise.
        raise Unfit(f"a value's bytes are not base64: {error}") from None
    return base64.b64encode(content).decode()
