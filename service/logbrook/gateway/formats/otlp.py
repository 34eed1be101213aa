"""POST /v1/logs: the records of an OTLP request as canonical JSON events.

otlp_protobuf.py and otlp_json.py take the two encodings apart; what a record becomes is decided here, once, so that
the same request gives the same events in either. Resource and scope stand in each event: they are encoded once
and spliced in as bytes.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from logbrook.config import Gateway
from logbrook.errors import RejectedError, UnavailableError
from logbrook.gateway.batch import Batch, too_many_events
from logbrook.gateway.formats.unfit import Unfit, dumps, pack

# Deeper than any attribute that is not an attack; protobuf's own limit comes to about the same.
MAX_DEPTH = 32
MAX_ATTRIBUTES = 1_000


# google.rpc.Code of a status, for OTLP's error body.
_RPC_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 408: 4, 413: 3, 415: 3, 429: 8, 503: 14}
_RPC_INTERNAL = 13


@dataclass(frozen=True)
class Group:
    """Records of one resource and scope, and how one of them becomes the fields of an event (through `fields`)."""

    resource: Mapping[str, Any]
    resource_schema_url: str
    scope: Mapping[str, Any]
    records: Iterable[Any]
    read: Callable[[Any], dict[str, Any]]


def code(error: RejectedError | UnavailableError) -> int:
    """The google.rpc.Code of a refusal."""
    return _RPC_CODES.get(error.status, _RPC_INTERNAL)


def read(groups: Iterable[Group], settings: Gateway) -> Batch:
    """Encode all records.

    Raises RejectedError: 413 for too many records or if they come to too many bytes, 400 for a resource or scope
    that can't be taken.
    """
    try:
        return pack(_events(groups, settings.max_request_events), "record", settings)
    except Unfit as error:
        raise RejectedError(400, "broken_otlp", f"A resource or scope can't be taken: {error}") from None


def _events(groups: Iterable[Group], limit: int) -> Iterator[Callable[[], bytes]]:
    for number, group in enumerate(groups):
        if number >= limit:
            raise too_many_events(limit)
        common = _common(group)
        for record in group.records:
            yield partial(_event, group.read, record, common)


def _common(group: Group) -> bytes:
    """What a group's events share, as the end of each: `,"resource":{...},"scope":{...}}`."""
    shared: dict[str, Any] = {}
    if group.resource:
        shared["resource"] = group.resource
    if group.resource_schema_url:
        shared["resource_schema_url"] = group.resource_schema_url
    if group.scope:
        shared["scope"] = group.scope
    return b"," + dumps(shared)[1:] if shared else b"}"


def _event(read: Callable[[Any], dict[str, Any]], record: Any, common: bytes) -> bytes:
    """One event. Raises Unfit if it can't be one."""
    own = dumps(read(record))
    return own[:-1] + common if len(own) > len(b"{}") else b"{" + common.removeprefix(b",")


def fields(  # noqa: PLR0913 - a LogRecord has as many; called once a record, so no object is made of them
    *,
    time: int,
    observed: int,
    severity_text: str | None,
    severity_number: int,
    body: Any,
    trace_id: str,
    span_id: str,
    flags: int,
    event_name: str | None,
    attributes: dict[str, Any],
    dropped: int,
) -> dict[str, Any]:
    """A record's own fields as they stand in an event; what is unset in OTLP (zero, empty, null) is left out."""
    made: dict[str, Any] = {}
    if time:
        made["timestamp"] = time
    if observed:
        made["observed_timestamp"] = observed
    if severity_text:
        made["severity_text"] = severity_text
    if severity_number:
        made["severity_number"] = severity_number
    if body is not None:
        made["body"] = body
    if trace_id.strip("0"):
        made["trace_id"] = trace_id
    if span_id.strip("0"):
        made["span_id"] = span_id
    if flags & 0xFF:
        made["trace_flags"] = flags & 0xFF
    if event_name:
        made["event_name"] = event_name
    if attributes:
        if len(attributes) > MAX_ATTRIBUTES:
            raise Unfit(f"it has {len(attributes)} attributes; the most is {MAX_ATTRIBUTES}")
        made["attributes"] = attributes
    if dropped:
        made["dropped_attributes_count"] = dropped
    return made


def scope(
    name: str | None, version: str | None, attributes: Mapping[str, Any], schema_url: str | None
) -> dict[str, Any]:
    """The instrumentation scope as it stands in an event."""
    all_fields = {"name": name, "version": version, "attributes": attributes, "schema_url": schema_url}
    return {key: value for key, value in all_fields.items() if value}


def numbered(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Attributes of which some have the same key: the second `k` becomes `k#2`, so that no value is lost."""
    made: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for key, value in pairs:
        name = key
        while name in made:
            counts[key] = counts.get(key, 1) + 1
            name = f"{key}#{counts[key]}"
        made[name] = value
    return made


def number(value: float) -> float | str:
    """A double as JSON can hold it: NaN and the infinities get the names that protobuf's JSON gives them."""
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
