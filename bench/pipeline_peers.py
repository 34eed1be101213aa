"""What the pipeline is compared with: a naive consumer, and the engine alone.

python -m bench.pipeline_peers --batch 100

The settings are those of `logbrook consumer`; it prints "ready" once it has partitions.
"""

import argparse
import json
import struct
import time
from collections.abc import Iterator
from typing import Any

from confluent_kafka import Consumer

from logbrook import clickhouse, config
from logbrook.consumer.batch import ROW_COLUMNS
from logbrook.kafka import client_config
from logbrook.leb128 import string
from logbrook.produce.generator import BLOCK_EVENTS, Events
from logbrook.schema import INSERT_SETTINGS

NAIVE_TABLE = """CREATE TABLE naive_logs (
    Timestamp DateTime64(9), TraceId String, SpanId String, SeverityText LowCardinality(String), SeverityNumber UInt8,
    ServiceName LowCardinality(String), Body String, ResourceAttributes Map(LowCardinality(String), String),
    ScopeName String, LogAttributes Map(LowCardinality(String), String)
) ENGINE = MergeTree ORDER BY (toStartOfFiveMinutes(Timestamp), ServiceName, Timestamp)"""
NAIVE_COLUMNS = [
    "Timestamp", "TraceId", "SpanId", "SeverityText", "SeverityNumber", "ServiceName", "Body", "ResourceAttributes",
    "ScopeName", "LogAttributes",
]  # fmt: skip
PLAIN_TABLE = """CREATE TABLE plain_logs (
    timestamp Int64, severity_text LowCardinality(String), severity_number UInt8, body String, trace_id String,
    span_id String, trace_flags UInt8, resource Map(LowCardinality(String), String), scope Map(String, String),
    attributes Map(LowCardinality(String), String)
) ENGINE = MergeTree ORDER BY (intDiv(timestamp, 300000000000), timestamp)"""

_MESSAGES_PER_INSERT = 100  # about 28 MB: below the consumer's 32 MiB


def naive(batch: int) -> None:
    """The consumer that one writes first: each event parsed, `batch` rows inserted, offsets committed by themselves."""
    kafka, database = config.load(config.Kafka), config.load(config.ClickHouse)
    client = clickhouse.connect(database)
    consumer = Consumer(client_config(kafka) | {"group.id": "naive", "auto.offset.reset": "earliest"})
    consumer.subscribe([kafka.topic], on_assign=lambda _consumer, _partitions: print("ready", flush=True))
    rows: list[list[Any]] = []
    last = time.monotonic()
    while True:
        message = consumer.poll(0.1)
        if message is not None and message.error() is None:
            rows += [_row(json.loads(line)) for line in (message.value() or b"").split(b"\n")]
        if rows and (len(rows) >= batch or time.monotonic() - last > 1):
            client.insert("naive_logs", rows, column_names=NAIVE_COLUMNS)
            rows, last = [], time.monotonic()


def _row(event: dict[str, Any]) -> list[Any]:
    return [
        event["timestamp"],
        event.get("trace_id", ""),
        event.get("span_id", ""),
        event["severity_text"],
        event["severity_number"],
        event["resource"]["service.name"],
        event["body"],
        event["resource"],
        event["scope"]["name"],
        {key: str(value) for key, value in event["attributes"].items()},
    ]


def engine_plain(database: config.ClickHouse, count: int) -> float:
    """Seconds to insert `count` of the same events as they are (JSONEachRow) into a table of their shape."""
    client = clickhouse.connect(database)
    client.command(PLAIN_TABLE)
    bodies = [b"\n".join(each) for each in messages(count)]
    began = time.perf_counter()
    for body in bodies:
        client.raw_insert("plain_logs", insert_block=body, settings=dict(INSERT_SETTINGS), fmt="JSONEachRow")
    return time.perf_counter() - began


def engine_view(database: config.ClickHouse, count: int) -> float:
    """Seconds to insert the same messages into `arrivals`: the engine's part of the pipeline, and nothing else."""
    client = clickhouse.connect(database)
    bodies, offset = [], 0
    for each in messages(count):
        bodies.append(arrivals(each, offset))
        offset += len(each)
    began = time.perf_counter()
    for body in bodies:
        insert(client, body)
    return time.perf_counter() - began


def insert(client: clickhouse.HttpClient, body: bytes) -> None:
    """Put rows of `arrivals` into it, as the consumer does."""
    client.raw_insert("arrivals", ("topic", "topic_id", *ROW_COLUMNS), body, dict(INSERT_SETTINGS), "RowBinary")


def messages(count: int) -> Iterator[list[bytes]]:
    """What `logbrook produce` sends, in messages of 500 events, as many at a time as one insert takes."""
    events = Events(1)
    held: list[bytes] = []
    while events.position < count:
        held.append(events.take(min(BLOCK_EVENTS, count - events.position), time.time_ns(), 1000))
        if len(held) == _MESSAGES_PER_INSERT:
            yield held
            held = []
    if held:
        yield held


def arrivals(payloads: list[bytes], offset: int) -> bytes:
    """Messages as rows of `arrivals`; the first has this offset."""
    # topic, topic_id, partition, offset, timestamp_ms, source, idempotency_key
    return b"".join(
        b"\x01t\x01i" + struct.pack("<iqq", 0, number, time.time_ns() // 1_000_000) + b"\x00\x00" + string(payload)
        for number, payload in enumerate(payloads, offset)
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, required=True)
    naive(parser.parse_args().batch)
