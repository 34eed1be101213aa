"""A database of the schema tests, and a way to send messages into it and see the events."""

import struct
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pytest

from logbrook.clickhouse import HttpClient, connect
from logbrook.consumer.batch import ROW_COLUMNS
from logbrook.schema import INSERT_SETTINGS
from tests.components import ClickHouseServer, migrated

# Time of arrival of all messages, unless a test says otherwise.
ARRIVAL = "2025-03-01 12:00:00.000000000"
ARRIVAL_MS = 1_740_830_400_000

Row = dict[str, Any]
Store = Callable[..., list[list[Row]]]


def encoded(value: bytes) -> bytes:
    """A string in RowBinary: its length as LEB128, then its bytes."""
    length, out = len(value), bytearray()
    while length > 0x7F:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes(out) + bytes([length]) + value


def messages(payloads: Sequence[bytes], timestamp_ms: int = ARRIVAL_MS) -> bytes:
    """The payloads as rows of `arrivals` in RowBinary; the offset of each is its index."""
    head = encoded(b"logs") + encoded(b"topic-id")
    return b"".join(
        head + struct.pack("<iqq", 3, offset, timestamp_ms) + encoded(b"shop") + encoded(b"") + encoded(payload)
        for offset, payload in enumerate(payloads)
    )


@pytest.fixture(scope="session")
def schema_client(clickhouse: ClickHouseServer) -> Iterator[HttpClient]:
    """A client of a migrated database that the schema tests share."""
    settings = migrated(clickhouse.settings(f"schema_{uuid.uuid4().hex[:12]}"))
    client = connect(settings)
    yield client
    client.command(f"DROP DATABASE {settings.database} SYNC")
    client.close()


@pytest.fixture(scope="session")
def store(schema_client: HttpClient) -> Store:
    """Send messages in one insert, and return the events of each, in order. Bodies are bytes."""

    def send(
        payloads: Sequence[bytes],
        timestamp_ms: int = ARRIVAL_MS,
        table: str = "arrivals",
        settings: Mapping[str, Any] = MappingProxyType({}),
    ) -> list[list[Row]]:
        schema_client.command("TRUNCATE TABLE otel_logs")
        schema_client.raw_insert(
            table,
            column_names=("topic", "topic_id", *ROW_COLUMNS),
            insert_block=messages(payloads, timestamp_ms),
            settings={**INSERT_SETTINGS, **settings},
            fmt="RowBinary",
        )
        answer = schema_client.query(
            "SELECT * REPLACE (toString(Timestamp) AS Timestamp, hex(Body) AS Body)"
            " FROM otel_logs ORDER BY KafkaOffset, KafkaIndex"
        )
        events: list[list[Row]] = [[] for _ in payloads]
        for values in answer.result_rows:
            row = dict(zip(answer.column_names, values, strict=True))
            row["Body"] = bytes.fromhex(row["Body"])
            events[row["KafkaOffset"]].append(row)
        return events

    return send
