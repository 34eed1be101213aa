"""An insert into an inlet is one part of otel_logs for each of the two ways: a message is there whole or not at all."""

import json
import struct
from collections.abc import Iterator

import pytest

from logbrook.clickhouse import HttpClient
from logbrook.schema import INSERT_SETTINGS
from tests.schema.conftest import ARRIVAL_MS, encoded


def event(number: int) -> bytes:
    """A JSON event of some 350 bytes."""
    return json.dumps(
        {
            "timestamp": ARRIVAL_MS * 1_000_000 + number,
            "severity_text": "INFO",
            "body": f"request {number} of user-{number % 977} took {number % 89} ms, the cart holds {number % 7} items",
            "trace_id": f"{(number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}",
            "resource": {"service.name": f"shop-{number % 12}", "host.name": f"web-{number % 20}"},
            "attributes": {"http.method": "GET", "http.status_code": 200, "user_id": f"user-{number % 977}"},
        }
    ).encode()


def single(count: int) -> Iterator[bytes]:
    """Messages of one event."""
    return (event(number) for number in range(count))


def coalesced(size_bytes: int, events: int) -> Iterator[bytes]:
    """Messages of that many events, together about so many bytes."""
    size, number = 0, 0
    while size < size_bytes:
        message = b"\n".join(event(number + index) for index in range(events))
        size, number = size + len(message), number + events
        yield message


BATCHES = {
    "200,000 messages of one event": lambda: list(single(200_000)),
    "32 MiB in messages of 500 events": lambda: list(coalesced(32 * 2**20, 500)),
    "one message of 900 kB": lambda: [b"\n".join(single(2_500))[:900_000]],
    "a message of 150,000 tiny events": lambda: [b"{}\n" * 150_000],
    "a JSON array of 2,000 events": lambda: [b"[" + b",".join(single(2_000)) + b"]"],
    "lines of text of different ages": lambda: [
        f"20{year:02}-05-06 12:00:00 INFO line {number}".encode() for number in range(200) for year in range(100)
    ],
}


def parts_of(client: HttpClient, payloads: list[bytes]) -> list[int]:
    """How many rows each part has after one insert as the consumer makes it, before any merge."""
    client.command("DROP TABLE IF EXISTS inlet_test_view SYNC")
    client.command("DROP TABLE IF EXISTS inlet_test SYNC")
    client.command(
        "CREATE TABLE inlet_test (partition Int32, offset Int64, timestamp_ms Int64,"
        " source String, idempotency_key String, payload String) ENGINE = Null"
    )
    client.command(
        "CREATE MATERIALIZED VIEW inlet_test_view TO arrivals AS"
        " SELECT 'logs' AS topic, 'topic-id' AS topic_id, * FROM inlet_test"
    )
    client.command("TRUNCATE TABLE otel_logs")
    client.command("SYSTEM STOP MERGES otel_logs")
    rows = b"".join(
        struct.pack("<iqq", 0, offset, ARRIVAL_MS) + b"\0\0" + encoded(payload)
        for offset, payload in enumerate(payloads)
    )
    client.raw_insert("inlet_test", insert_block=rows, settings=dict(INSERT_SETTINGS), fmt="RowBinary")
    parts = client.query(
        "SELECT rows FROM system.parts WHERE database = currentDatabase() AND table = 'otel_logs' AND active"
    ).result_rows
    client.command("SYSTEM START MERGES otel_logs")
    return [rows for (rows,) in parts]


@pytest.mark.parametrize("name", BATCHES)
def test_messages_that_go_one_way_are_one_part(schema_client: HttpClient, name: str) -> None:
    """Whatever their number, size and ages, an insert makes one part of them."""
    payloads = BATCHES[name]()
    events = sum(payload.count(b"\n") + 1 if payload[:1] == b"{" else 1 for payload in payloads)
    expected = {"a message of 150,000 tiny events": 150_000, "a JSON array of 2,000 events": 2_000}
    assert parts_of(schema_client, payloads) == [expected.get(name, events)]


def test_mixed_messages_are_two_parts(schema_client: HttpClient) -> None:
    """Canonical messages are in one part, all others in a second; a message with both kinds of events is an other."""
    canonical = list(coalesced(4 * 2**20, 500))
    others = [b"a line of text", event(1) + b"\n" + b'{"msg": "of another form"}'] * 2_000
    mixed = [message for pair in zip(others, canonical * 400, strict=False) for message in pair][: 2 * len(canonical)]
    canonical_events = sum(message.count(b"\n") + 1 for message in mixed[1::2])
    other_events = sum(message.count(b"\n") + 1 for message in mixed[0::2])
    assert sorted(parts_of(schema_client, mixed)) == sorted([canonical_events, other_events])
