"""The columns of an event, each declared once, as a field of `Event`.

What is selected, answered, exported, named in queries, and said in /openapi.json and docs/query.md follows from there.
A new column of the table is one more field (docs/parser.md).
"""

from dataclasses import dataclass
from typing import Annotated, get_args

from msgspec import Meta, Struct, structs


@dataclass(frozen=True)
class Column:
    """What a field of an event is in answers, in the table, in queries, and in exports."""

    name: str
    kind: str  # text, number, map, or time
    meaning: str
    sql: str
    typed: tuple[str, ...]  # its names in queries, the usual one first; none: not searchable
    exported: int  # its place in an export; 0: not exported
    alias: bool  # whether the table computes it, and `SELECT *` leaves it out


def _column(sql: str, meaning: str, *typed: str, exported: int = 0, time: bool = False, alias: bool = False) -> Meta:
    schema = {"format": "date-time"} if time else None
    extra = {"sql": sql, "typed": typed, "exported": exported, "alias": alias}
    return Meta(description=meaning, extra_json_schema=schema, extra=extra)


class Event(Struct, kw_only=True):
    """One log event."""

    id: Annotated[str, Meta(description="What /v1/events and /v1/context take.")]
    timestamp: Annotated[str, _column("Timestamp", "When it happened, in UTC with nine digits.", exported=1, time=True)]
    ingested_at: Annotated[str, _column("IngestedAt", "When ClickHouse stored it.", exported=16, time=True)]
    severity: Annotated[str, Meta(description="none, trace, debug, info, warn, error, or fatal.")]
    severity_text: Annotated[
        str, _column("SeverityText", "The level as the sender wrote it.", "severity_text", exported=2)
    ]
    severity_number: Annotated[int, _column("SeverityNumber", "OpenTelemetry's 1 to 24; 0: no level.", exported=15)]
    service: Annotated[str, _column("ServiceName", "What sent it.", "service", "service.name", exported=3)]
    body: Annotated[str, _column("Body", "Its text; lists may cut it.", exported=4)]
    body_bytes: Annotated[int, _column("length(Body)", "The size of the whole body.")]
    truncated: Annotated[bool, Meta(description="A text or attributes are cut here; /v1/events/{id} has all of them.")]
    trace_id: Annotated[str, _column("TraceId", "The trace that it is part of.", "trace_id", "trace", exported=5)]
    span_id: Annotated[str, _column("SpanId", "The span that it is part of.", "span_id", "span", exported=6)]
    trace_flags: Annotated[int, _column("TraceFlags", "W3C's flags of the trace.", "trace_flags")]
    event_name: Annotated[str, _column("EventName", "What kind of event it is.", "event", "event_name", exported=7)]
    attributes: Annotated[dict[str, str], _column("LogAttributes", "What else the event says.", exported=12)]
    resource: Annotated[dict[str, str], _column("ResourceAttributes", "What its source says of itself.", exported=13)]
    scope_name: Annotated[str, _column("ScopeName", "The instrumentation scope.", "scope", exported=8)]
    scope_version: Annotated[str, _column("ScopeVersion", "The version of the scope.")]
    scope_attributes: Annotated[dict[str, str], _column("ScopeAttributes", "Those of the scope.", exported=14)]
    source: Annotated[str, _column("Source", "The name of the token that sent it.", "source", exported=9)]
    parse_error: Annotated[
        str, _column("ParseError", "What was not understood; otherwise empty.", "parse_error", exported=10)
    ]
    topic: Annotated[str, _column("KafkaTopic", "Kafka's topic.", "topic", exported=11)]
    partition: Annotated[int, _column("KafkaPartition", "Kafka's partition.", "partition", exported=17)]
    offset: Annotated[int, _column("KafkaOffset", "Kafka's offset of the message.", "offset", exported=18)]
    index: Annotated[int, _column("KafkaIndex", "Its place in the message, from 0.", "index", exported=19)]
    clock_skew_ms: Annotated[
        int, _column("ClockSkewMs", "`timestamp` minus `ingested_at`.", "clock_skew_ms", exported=20, alias=True)
    ]


def _declared(name: str, base: type, meta: Meta) -> Column:
    kind = "time" if meta.extra_json_schema else {str: "text", int: "number"}.get(base, "map")
    return Column(name, kind, meta.description or "", **meta.extra or {})


_FIELDS = [(each.name, *get_args(each.type)) for each in structs.fields(Event)]
COLUMNS = tuple(_declared(name, base, meta) for name, base, meta in _FIELDS if meta.extra)
"""In the order of the answers; `id`, `severity`, and `truncated` are made from others."""
