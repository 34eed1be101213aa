"""POST /v1/logs: the records of an OTLP request as canonical JSON events.

otlp_protobuf.py and otlp_json.py take the two encodings apart; what a record becomes is decided here, once, so that
the same request gives the same events in either. Resource and scope stand in each event: they are encoded once
and spliced in as bytes.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from logbrook.config import Gateway
from logbrook.errors import RejectedError
from logbrook.gateway.batch import Batch, all_named, join, too_many_events

# Deeper than any attribute that is not an attack; protobuf's own limit comes to about the same.
MAX_DEPTH = 32
MAX_ATTRIBUTES = 1_000


class Unfit(Exception):  # noqa: N818 - not an error of the service: one record can't be taken, the others can
    """Why a record can't be taken."""


class Record(Protocol):
    """A LogRecord: the fields that both encodings read alike (JSON may have an integer as text, or null)."""

    @property
    def time_unix_nano(self) -> int | str | None: ...
    @property
    def observed_time_unix_nano(self) -> int | str | None: ...
    @property
    def severity_number(self) -> int | str | None: ...
    @property
    def severity_text(self) -> str | None: ...
    @property
    def event_name(self) -> str | None: ...
    @property
    def flags(self) -> int | str | None: ...
    @property
    def dropped_attributes_count(self) -> int | str | None: ...


@dataclass(frozen=True)
class Parts:
    """What the encodings have each their own way for: a record's body, attributes, and ids in hexadecimal."""

    body: Any
    attributes: Mapping[str, Any]
    trace_id: str
    span_id: str


@dataclass(frozen=True)
class Group:
    """Records of one resource and scope."""

    resource: Mapping[str, Any]
    resource_schema_url: str
    scope: Mapping[str, Any]
    records: Sequence[Record]
    parts: Callable[[Any], Parts]


@dataclass(frozen=True)
class Reading:
    """A request's events, how many records could not be taken, and why the first of them could not."""

    batch: Batch
    rejected: int
    reason: str


def read(groups: Iterable[Group], settings: Gateway) -> Reading:
    """Encode all records.

    Raises RejectedError: 413 for too many records or if they come to too many bytes, 400 for a resource or scope
    that can't be taken.
    """
    try:
        return _read(groups, settings)
    except Unfit as error:
        raise RejectedError(400, "broken_otlp", f"A resource or scope can't be taken: {error}") from None


def _read(groups: Iterable[Group], settings: Gateway) -> Reading:
    events: list[bytes] = []
    rejected, reason, size = 0, "", 0
    for index, (group, record, common) in enumerate(_records(groups)):
        if index >= settings.max_request_events:
            raise too_many_events(index + 1, settings.max_request_events)
        try:
            event = _event(record, group.parts(record), common, settings.max_message_bytes)
        except Unfit as error:
            reason = reason or f"record {index} (counted from 0): {error}"
            rejected += 1
            continue
        size += len(event)
        if size > settings.max_inflated_bytes:
            raise _too_large(settings.max_inflated_bytes)
        events.append(event)
    messages = join(events, settings.max_message_bytes)
    return Reading(Batch(messages, len(events), _named(messages, len(events))), rejected, reason)


def _named(messages: list[bytes], events: int) -> bool:
    return all_named(b"\n".join(messages), events) if messages and b'"event_id"' in messages[0] else False


def _records(groups: Iterable[Group]) -> Iterator[tuple[Group, Record, bytes]]:
    for group in groups:
        common = _common(group)
        for record in group.records:
            yield group, record, common


def _common(group: Group) -> bytes:
    """What a group's events share, as the end of each: `,"resource":{...},"scope":{...}}`."""
    shared: dict[str, Any] = {}
    if group.resource:
        shared["resource"] = group.resource
    if group.resource_schema_url:
        shared["resource_schema_url"] = group.resource_schema_url
    if group.scope:
        shared["scope"] = group.scope
    return b"," + _dumps(shared)[1:] if shared else b"}"


def _dumps(value: Any) -> bytes:
    """JSON. Raises Unfit for what has none: an integer beyond 64 bits."""
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise Unfit(str(error)) from None


def _event(record: Record, parts: Parts, common: bytes, limit: int) -> bytes:
    """One event. Raises Unfit if it can't be one."""
    try:
        own = _dumps(_fields(record, parts))
    except ValueError as error:  # an integer given as text that is none
        raise Unfit(str(error)) from None
    event = own[:-1] + common if len(own) > 2 else b"{" + common.removeprefix(b",")
    if len(event) > limit:
        raise Unfit(f"it has {len(event)} bytes as JSON, with its resource and scope; the most is {limit}")
    return event


def _fields(record: Record, parts: Parts) -> dict[str, Any]:
    """A record's own fields; what is unset in OTLP (zero, empty) is left out."""
    if len(parts.attributes) > MAX_ATTRIBUTES:
        raise Unfit(f"it has {len(parts.attributes)} attributes; the most is {MAX_ATTRIBUTES}")
    fields: dict[str, Any] = {}
    if time := int(record.time_unix_nano or 0):
        fields["timestamp"] = time
    if observed := int(record.observed_time_unix_nano or 0):
        fields["observed_timestamp"] = observed
    if record.severity_text:
        fields["severity_text"] = record.severity_text
    if severity := int(record.severity_number or 0):
        fields["severity_number"] = severity
    if parts.body is not None:
        fields["body"] = parts.body
    if parts.trace_id:
        fields["trace_id"] = parts.trace_id
    if parts.span_id:
        fields["span_id"] = parts.span_id
    if flags := int(record.flags or 0) & 0xFF:
        fields["trace_flags"] = flags
    if record.event_name:
        fields["event_name"] = record.event_name
    if parts.attributes:
        fields["attributes"] = parts.attributes
    if dropped := int(record.dropped_attributes_count or 0):
        fields["dropped_attributes_count"] = dropped
    return fields


def scope(
    name: str | None, version: str | None, attributes: Mapping[str, Any], schema_url: str | None
) -> dict[str, Any]:
    """The instrumentation scope as it stands in an event."""
    all_fields = {"name": name, "version": version, "attributes": attributes, "schema_url": schema_url}
    return {key: value for key, value in all_fields.items() if value}


def number(value: float) -> float | str:
    """A double as JSON can have it: what is no number is named as protobuf's JSON names it."""
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _too_large(limit: int) -> RejectedError:
    return RejectedError(
        413,
        "inflated_too_large",
        f"The request's events, each with its resource and scope, come to more than {limit} bytes. Send it in parts.",
        limit=limit,
    )
