"""Realistic events for the query benchmark, made inside the engine, and the plain table to compare with."""

from collections.abc import Iterator
from typing import Any

import chdb

from logbrook.clickhouse import HttpClient

SERVICES = (
    "checkout", "payment", "frontend", "cart", "auth", "catalog",
    "shipping", "email", "search", "recommend", "inventory", "gateway",
)  # fmt: skip
CHUNK = 500_000
_SERVICES = "[" + ", ".join(f"'{service}'" for service in SERVICES) + "]"

# `n` is the number of the event; everything else is drawn from hashes of it, so that any event can be made again.
EVENTS = f"""
SELECT
    fromUnixTimestamp64Nano({{start:Int64}} + toInt64(n * {{step:Float64}})) AS Timestamp,
    lower(hex(sipHash128(intDiv(n, 6)))) AS TraceId,
    leftPad(lower(hex(sipHash64(n, 1))), 16, '0') AS SpanId,
    1 AS TraceFlags,
    ['DEBUG', 'INFO', 'WARN', 'ERROR'][kind] AS SeverityText,
    [5, 9, 13, 17][kind] AS SeverityNumber,
    service AS ServiceName,
    multiIf(
        kind = 4, concat('Failed to charge card for user-', user, ': connection timeout after ', took, ' ms to 10.0.',
            toString(h2 % 20), '.', toString(h2 % 250), ', request ', request),
        kind = 3, concat('Slow query took ', took, ' ms: SELECT * FROM orders WHERE id = ', toString(h2 % 1000000)),
        h % 10 < 4, concat('GET /api/v1/products/', toString(h2 % 20000), ' 200 in ', took, ' ms'),
        h % 10 < 7, concat('order ', request, ' placed by user-', user, ' total=', toString(h2 % 900)),
        concat('cache lookup key=session:', request, ' hit=', if(h2 % 3 = 0, 'true', 'false'))) AS Body,
    map('service.name', service, 'host.name', concat('node-', toString(h2 % 8)), 'k8s.pod.name',
        concat(service, '-', toString(h2 % 5)), 'deployment.environment.name', 'prod') AS ResourceAttributes,
    map('http.method', ['GET', 'POST', 'PUT'][h2 % 3 + 1],
        'http.status_code', if(kind = 4, '500', ['200', '201', '404'][h2 % 3 + 1]),
        'http.route', concat('/api/v1/', ['products', 'orders', 'cart', 'users'][h2 % 4 + 1]),
        'user.id', concat('user-', user), 'request.id', request, 'duration_ms', took) AS LogAttributes,
    now64(3) AS IngestedAt, 'logs' AS KafkaTopic, 'bench' AS KafkaTopicId, toInt32(n % 8) AS KafkaPartition,
    toInt64(intDiv(n, 8)) AS KafkaOffset, 0 AS KafkaIndex, 'bench' AS Source
FROM
(
    SELECT number + {{first:UInt64}} AS n, cityHash64(n) AS h, cityHash64(n, 2) AS h2,
        multiIf(h % 100 < 3, 4, h % 100 < 8, 3, h % 100 < 25, 1, 2) AS kind,
        {_SERVICES}[1 + toUInt8(12 * pow((cityHash64(n, 4) % 10000) / 10000, 1.7))] AS service,
        toString(h2 % 50000) AS user, toString(h2 % 3000) AS took, lower(hex(cityHash64(n, 3))) AS request
    FROM numbers({{count:UInt64}})
)
"""
COLUMNS = (
    "Timestamp, TraceId, SpanId, TraceFlags, SeverityText, SeverityNumber, ServiceName, Body, ResourceAttributes, "
    "LogAttributes, IngestedAt, KafkaTopic, KafkaTopicId, KafkaPartition, KafkaOffset, KafkaIndex, Source"
)
# The same events as the gateway and the producer write them.
_LINES = f"""
SELECT toUnixTimestamp64Nano(Timestamp) AS timestamp, SeverityText AS severity_text, SeverityNumber AS severity_number,
    Body AS body, TraceId AS trace_id, SpanId AS span_id, TraceFlags AS trace_flags, ResourceAttributes AS resource,
    LogAttributes AS attributes
FROM ({EVENTS}) SETTINGS max_threads = 1, output_format_json_escape_forward_slashes = 0
"""
_EVENTS_PER_MESSAGE, _EVENTS_PER_BATCH = 500, 50_000
# One insert, one part: as the consumer inserts.
_ONE_PART = {"max_insert_threads": 1, "min_insert_block_size_rows": 0, "min_insert_block_size_bytes": 2**30}

PLAIN = f"""
CREATE TABLE plain.otel_logs ENGINE = MergeTree ORDER BY (ServiceName, SeverityNumber, Timestamp)
AS SELECT {COLUMNS} FROM otel_logs LIMIT 0
"""


def insert(client: HttpClient, first: int, count: int, start: int, step: float) -> None:
    """Put the events from number `first` on into the product's table; `step` nanoseconds lie between two."""
    client.command(
        f"INSERT INTO otel_logs ({COLUMNS}) {EVENTS}",
        parameters={"first": first, "count": count, "start": start, "step": step},
        settings=_ONE_PART,
    )


def messages(count: int, start: int, step: float) -> Iterator[list[bytes]]:
    """The first `count` events as messages of 500 lines, as many at a time as one insert takes."""
    for first in range(0, count, _EVENTS_PER_BATCH):
        size = min(_EVENTS_PER_BATCH, count - first)
        parameters = {"first": first, "count": size, "start": start, "step": step}
        made: Any = chdb.query(_LINES, "JSONEachRow", params=parameters)  # type: ignore[no-untyped-call]
        lines = made.bytes().splitlines()
        yield [b"\n".join(lines[at : at + _EVENTS_PER_MESSAGE]) for at in range(0, size, _EVENTS_PER_MESSAGE)]


def copy(client: HttpClient) -> None:
    """Put all events into the plain table as well: no index, no projection, sorted by service and severity."""
    client.command("DROP DATABASE IF EXISTS plain SYNC")
    client.command("CREATE DATABASE plain")
    client.command(PLAIN)
    client.command(f"INSERT INTO plain.otel_logs ({COLUMNS}) SELECT {COLUMNS} FROM otel_logs")
    client.command("OPTIMIZE TABLE plain.otel_logs FINAL")
