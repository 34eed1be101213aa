"""OTLP's JSON, taken apart: ids in hexadecimal, integers as numbers or text, unknown fields left alone."""

import base64
import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import msgspec
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber
from starlette.responses import Response

from logbrook.config import Gateway
from logbrook.errors import RejectedError, UnavailableError
from logbrook.gateway import answers
from logbrook.gateway.batch import Batch
from logbrook.gateway.formats import elements, mend, otlp
from logbrook.gateway.formats.elements import Raw
from logbrook.gateway.formats.format import Format
from logbrook.gateway.formats.otlp import MAX_DEPTH, Group, fields, number, numbered, scope
from logbrook.gateway.formats.unfit import Unfit, check_part

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


class _Level(msgspec.Struct, rename="camel"):
    """A request, a ResourceLogs, or a ScopeLogs that is not decoded yet: each field is still the bytes of the body."""

    resource_logs: msgspec.Raw = msgspec.Raw(b"null")
    resource: msgspec.Raw = msgspec.Raw(b"null")
    scope_logs: msgspec.Raw = msgspec.Raw(b"null")
    scope: msgspec.Raw = msgspec.Raw(b"null")
    log_records: msgspec.Raw = msgspec.Raw(b"null")
    schema_url: msgspec.Raw = msgspec.Raw(b"null")


_T = TypeVar("_T")
_REQUEST = msgspec.json.Decoder(_Request)
_LEVEL = msgspec.json.Decoder(_Level)
_RECORD = msgspec.json.Decoder(_Record)
_RESOURCE = msgspec.json.Decoder(_Resource | None)
_SCOPE = msgspec.json.Decoder(_Scope | None)
_TEXT = msgspec.json.Decoder(str | None)
_PARTS = msgspec.json.Decoder(list[dict[str, msgspec.Raw] | None] | None)
# What is within each level, and what may stand beside it.
_LISTS = ("resourceLogs", "scopeLogs", "logRecords")
_BESIDE = {"resource", "scope", "schemaUrl"}
# A request of no more than both is built as a whole: it takes at most some 60 MB. (Each value but the first of a list
# has a comma before it.)
_WHOLE_BYTES = 4 * 2**20
_WHOLE_COMMAS = 250_000


# protobuf's JSON has two spellings of a name, and a reader takes both. A key is always a name: maps are lists of pairs.
_SNAKE = (b'_logs"', b'_records"', b'_value"', b'_nano"')
_SNAKE_KEY = re.compile(rb'"([a-z]+(?:_[a-z]+)+)"(?=\s*:)')


def groups(body: bytes, settings: Gateway) -> Iterator[Group]:
    """The records of an ExportLogsServiceRequest in JSON. Raises RejectedError (400) if it is not one."""
    if any(ending in body for ending in _SNAKE):
        body = _SNAKE_KEY.sub(lambda key: re.sub(rb"_(.)", lambda letter: letter[1].upper(), key[0]), body)
    if len(body) > _WHOLE_BYTES or body.count(b",") > _WHOLE_COMMAS:
        return _in_pieces(body, settings)
    return _whole(body)


def _whole(body: bytes) -> Iterator[Group]:
    found = False
    for resource_logs in _decode(_REQUEST, body).resource_logs or ():
        resource = _attributes(resource_logs.resource.attributes if resource_logs.resource else None)
        for scope_logs in resource_logs.scope_logs or ():
            source = scope_logs.scope or _Scope()
            made = scope(source.name, source.version, _attributes(source.attributes), scope_logs.schema_url)
            found = found or bool(scope_logs.log_records)
            yield Group(resource, resource_logs.schema_url or "", made, scope_logs.log_records or (), _fields)
    if not found:
        _check_names(body)


def _in_pieces(body: bytes, settings: Gateway) -> Iterator[Group]:
    """The same, one record at a time: only that is built."""

    def built(part: Raw, decoder: msgspec.json.Decoder[_T]) -> _T:
        check_part(memoryview(part).nbytes, settings)
        return _decode(decoder, part)

    def level(part: Raw) -> _Level:
        try:
            return _LEVEL.decode(part)
        except msgspec.ValidationError as error:
            raise _broken(error) from None

    def cut(array: Raw) -> Iterator[Raw]:
        try:
            yield from elements.cut(array, settings.max_request_events, few=False)
        except msgspec.ValidationError as error:
            raise _broken(error) from None

    top = _decode(_LEVEL, body).resource_logs
    if memoryview(top).nbytes == len(b"null"):
        _check_names(body)
    for each in cut(top):
        resource_logs = level(each)
        resource = _attributes((built(resource_logs.resource, _RESOURCE) or _Resource()).attributes)
        url = built(resource_logs.schema_url, _TEXT) or ""
        for one in cut(resource_logs.scope_logs):
            scope_logs = level(one)
            source = built(scope_logs.scope, _SCOPE) or _Scope()
            scope_url = built(scope_logs.schema_url, _TEXT)
            made = scope(source.name, source.version, _attributes(source.attributes), scope_url)
            yield Group(resource, url, made, cut(scope_logs.log_records), lambda raw: _fields(built(raw, _RECORD)))


def _check_names(body: bytes) -> None:
    """Raise RejectedError (400) if a body has no records because something in it has another name."""
    parts = _decode(_PARTS, b"[" + body + b"]") or []
    for name in _LISTS:
        for part in parts:
            if part and name not in part and (others := part.keys() - _BESIDE):
                raise _broken(f"it has no {name}, but {', '.join(sorted(others))[:80]}")
        parts = [each for part in parts if part and name in part for each in _decode(_PARTS, part[name]) or ()]


def _decode(decoder: msgspec.json.Decoder[_T], body: bytes | Raw) -> _T:
    try:
        return decoder.decode(body)
    except RecursionError:
        raise RejectedError(400, "too_deep", "The JSON is nested too deeply.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # Where nothing is built, bytes that are not UTF-8 pass; replaced, they could make it three times as long.
        text = bytes(body) if decoder is _LEVEL else mend.utf8(bytes(body))
        try:
            return decoder.decode(mend.surrogates(text))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _broken(error) from None


def _broken(error: Exception | str) -> RejectedError:
    return RejectedError(400, "broken_otlp", f"The body is not an ExportLogsServiceRequest: {error}")


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
        raise Unfit(f"{str(value)[:40]!r} is not an integer") from None


def _severity(value: _Integer) -> int:
    """The number, also where it is given by the name that protobuf has for it."""
    if isinstance(value, str) and value in SeverityNumber.keys():  # noqa: SIM118 - not a mapping
        return SeverityNumber.Value(value)
    return _integer(value)


def _attributes(pairs: Sequence[_Pair] | None) -> dict[str, Any]:
    made = {pair.key or "": _value(pair.value) for pair in pairs or ()}
    return (
        made
        if len(made) == len(pairs or ())
        else numbered((pair.key or "", _value(pair.value)) for pair in pairs or ())
    )


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
            raise Unfit(f"{str(value.double_value)[:40]!r} is not a double") from None
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


def read(body: bytes, settings: Gateway) -> Batch:
    """All records. Raises RejectedError as `otlp.read` does."""
    return otlp.read(groups(body, settings), settings)


def taken(batch: Batch) -> Response:
    """An ExportLogsServiceResponse, with the records that could not be taken, if any."""
    if not batch.rejected:
        return answers.json(200, {})
    return answers.json(
        200, {"partialSuccess": {"rejectedLogRecords": str(batch.rejected), "errorMessage": batch.reason}}
    )


def refused(error: RejectedError | UnavailableError) -> Response:
    """A google.rpc.Status."""
    return answers.json(error.status, {"code": otlp.code(error), "message": str(error)}, answers.headers(error))


FORMAT = Format("/v1/logs", ("application/json",), read, taken, refused)
