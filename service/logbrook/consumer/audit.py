"""The loss audit: is each offset in Kafka below the committed one in ClickHouse exactly once?"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from confluent_kafka import Consumer

from logbrook import clickhouse, config, metrics
from logbrook.clickhouse import HttpClient
from logbrook.consumer.inlet import Position, Topic, server_time, stored_offsets
from logbrook.consumer.span import Bounds, Span, first_at, reader, spans, stalled, still_in_kafka

# How many offsets one query checks: bounds its memory.
_WINDOW = 2_000_000


@dataclass(frozen=True)
class Finding:
    """What the audit found in one partition. All but `events` and `flagged` should be what it expects: 0."""

    partition: int
    first_offset: int
    end_offset: int
    events: int
    """Rows stored for these offsets."""
    missing: int
    """Offsets without a row, and indexes that are missing within a message."""
    double: int
    """Rows beyond the first with the same identity."""
    flagged: int
    """Rows with a ParseError."""
    repeated: int
    """Offsets left out because an earlier message had the same idempotency key."""
    pending: int
    """Offsets above the committed one, which the consumers have not stored yet."""
    missing_offsets: tuple[tuple[int, int], ...]
    """The first of the missing ranges: from, up to and including."""
    stalled: int = 0
    """Those of the pending ones whose partition has had none stored for `stalled_after_seconds`."""


def audit(settings: config.Consumer, kafka: config.Kafka, database: config.ClickHouse, bounds: Bounds) -> list[Finding]:
    """Compare Kafka's offsets with the identities in ClickHouse, partition by partition.

    Where messages are pending, it checks again until one of them is stored, for at most `stalled_after_seconds`.
    Raises UnavailableError if Kafka or ClickHouse does not answer.
    """
    client = clickhouse.connect(database)
    with reader(kafka, settings.group) as consumer:
        began = time.monotonic()
        topic, found = spans(consumer, kafka, bounds)
        findings = [_examine(client, consumer, topic, span) for span in found]
        still = stalled(consumer, topic, found, began + settings.stalled_after_seconds)
    findings = [replace(each, stalled=each.pending) if each.partition in still else each for each in findings]
    metrics.audit_missing_events.set(sum(each.missing for each in findings))
    metrics.audit_duplicate_events.set(sum(each.double for each in findings))
    metrics.audit_events.set(sum(each.events for each in findings))
    metrics.audit_flagged_events.set(sum(each.flagged for each in findings))
    metrics.audit_pending_messages.set(sum(each.pending for each in findings))
    metrics.audit_stalled_messages.set(sum(each.stalled for each in findings))
    metrics.audit_finished_timestamp_seconds.set(server_time(client))
    return findings


def _examine(client: HttpClient, consumer: Consumer, topic: Topic, span: Span) -> Finding:
    events = holes = double = flagged = 0
    missing: list[range] = []
    for window in _windows(span):
        counts = _count(client, topic, window)
        events, double, flagged = events + counts[1], double + counts[2], flagged + counts[4]
        holes += counts[3]
        if counts[0] < window.end - window.first:
            missing += _gaps(client, topic, window)
    if missing and missing[0].start == span.first:
        missing = _unexpired(client, consumer, topic, span, missing)
    repeated = _repeated(client, topic, span) if missing else set()
    without_row = [gap for each in missing for gap in _cut(each, repeated)]
    lost = still_in_kafka(consumer, topic.name, span.partition, without_row)
    absent = sum(len(each) for each in lost)
    return Finding(
        partition=span.partition,
        first_offset=span.first,
        end_offset=span.end,
        events=events,
        missing=absent + holes,
        double=double,
        flagged=flagged,
        repeated=sum(len(each) for each in missing) - sum(len(each) for each in without_row),
        pending=span.pending,
        missing_offsets=tuple((each.start, each.stop - 1) for each in lost[:10]),
    )


def _unexpired(client: HttpClient, consumer: Consumer, topic: Topic, span: Span, missing: list[range]) -> list[range]:
    """The gaps without what has expired, which Kafka keeps while newer messages are in the same segment.

    What was never stored is taken for expired only if it is as old, and if nothing before it is stored.
    """
    stored_from = span.first
    for each in missing:
        if each.start == stored_from:
            stored_from = each.stop
    kept_from = first_at(consumer, topic.name, span.partition, _kept_from_ms(client), span.end)
    start = min(kept_from, stored_from)
    return [range(max(each.start, start), each.stop) for each in missing if each.stop > start]


def _kept_from_ms(client: HttpClient) -> int:
    """Since when events are kept, by the table's retention, in Unix milliseconds; 0: always. It counts whole days."""
    [[seconds]] = client.query(
        "SELECT if(days = 0, 0, toUnixTimestamp(toDateTime(today() - days + 1))) FROM ("
        r" SELECT max(toUInt16OrZero(extract(create_table_query, 'IngestedAt\\) \\+ toIntervalDay\\((\\d+)'))) AS days"
        " FROM system.tables WHERE database = currentDatabase() AND name IN ('otel_logs', 'otel_logs_local'))"
    ).result_rows
    return int(seconds) * 1000


def _windows(span: Span) -> Iterator[Span]:
    for first in range(span.first, span.end, _WINDOW):
        yield Span(span.partition, first, min(first + _WINDOW, span.end), 0)


def _count(client: HttpClient, topic: Topic, span: Span) -> tuple[int, int, int, int, int]:
    """Offsets, events, double events, indexes missing within a message, flagged events."""
    row = client.query(
        "SELECT count(), sum(events), sum(events - identities), sum(last + 1 - identities), sum(flagged) FROM ("
        " SELECT count() AS events, uniqExact(KafkaIndex) AS identities, max(KafkaIndex)::Int64 AS last,"
        "  countIf(ParseError != '') AS flagged"
        " FROM otel_logs WHERE KafkaTopicId = {topic_id:String} AND KafkaPartition = {partition:Int32}"
        "  AND KafkaOffset >= {first:Int64} AND KafkaOffset < {end:Int64}"
        " GROUP BY KafkaOffset)",
        parameters=_bind(topic, span),
    ).result_rows[0]
    offsets, events, double, holes, flagged = (int(each) for each in row)
    return offsets, events, double, holes, flagged


def _gaps(client: HttpClient, topic: Topic, span: Span) -> list[range]:
    """The offsets between the stored ones."""
    stored = stored_offsets(client, topic, {span.partition: Position(span.first, 0)}, span.end)
    gaps, at = [], span.first
    for each in [*stored.get(span.partition, []), range(span.end, span.end)]:
        if at < each.start:
            gaps.append(range(at, each.start))
        at = each.stop
    return gaps


def _repeated(client: HttpClient, topic: Topic, span: Span) -> set[int]:
    """Offsets that are not the first with their idempotency key."""
    rows = client.query(
        "SELECT DISTINCT offset FROM ("
        " SELECT offset, min(offset) OVER (PARTITION BY idempotency_key) AS first_offset FROM idempotency_keys"
        " WHERE topic_id = {topic_id:String} AND partition = {partition:Int32} AND offset < {end:Int64}"
        ") WHERE offset > first_offset AND offset >= {first:Int64}",
        parameters=_bind(topic, span),
    ).result_rows
    return {offset for (offset,) in rows}


def _cut(gap: range, excused: set[int]) -> Iterator[range]:
    """A gap without the excused offsets."""
    start = gap.start
    for offset in sorted(each for each in excused if each in gap):
        if start < offset:
            yield range(start, offset)
        start = offset + 1
    if start < gap.stop:
        yield range(start, gap.stop)


def _bind(topic: Topic, span: Span) -> dict[str, str | int]:
    return {"topic_id": topic.id, "partition": span.partition, "first": span.first, "end": span.end}
